//! `--as-me`: the caller's user and groups, home and directory, so that files belong to the person who asked for them.

use std::path::Path;

use super::{SpecError, Surroundings};
use crate::api::dto::{config::Config, host_config::HostConfig};

/// Adds to what other flags have said, and changes nothing of it.
///
/// # Errors
/// When the home directory has a name that no mount can have.
pub fn apply(config: &mut Config, host: &mut HostConfig, around: &Surroundings) -> Result<(), SpecError> {
    let me = around.person();
    config.user = format!("{}:{}", me.uid, me.gid);
    host.group_add.get_or_insert_default().extend(me.groups.iter().map(ToString::to_string));
    let here = around.absolute(Path::new("."));
    let home = around.var("HOME").filter(|home| home.starts_with('/')).map(|home| around.absolute(Path::new(&home)));
    let mut shown: Vec<&Path> = Vec::new();
    for dir in home.iter().chain([&here]).map(std::path::PathBuf::as_path) {
        // The root of this machine is not to be the root of the container, and what is shown need not be shown twice.
        if dir != Path::new("/") && !shown.iter().any(|other| dir.starts_with(other)) {
            shown.push(dir);
        }
    }
    for dir in shown {
        let text = dir.to_string_lossy();
        if text.contains([':', ',']) {
            return Err(SpecError::value("as-me", &text, "a directory with : or , in its name cannot be mounted"));
        }
        host.binds.get_or_insert_default().push(format!("{text}:{text}"));
    }
    if config.working_dir.is_empty() && here != Path::new("/") {
        config.working_dir = here.to_string_lossy().into_owned();
    }
    let is_set = |name: &str| config.env.iter().any(|variable| variable.split('=').next() == Some(name));
    let own = ["HOME", "USER", "LOGNAME"].into_iter().filter(|name| !is_set(name));
    let own: Vec<String> = own.filter_map(|name| Some(format!("{name}={}", around.var(name)?))).collect();
    config.env.extend(own);
    Ok(())
}
