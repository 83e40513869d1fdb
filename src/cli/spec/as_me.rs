//! `--as-me`: the caller's user and groups, home and directory, so that files belong to the person who asked for them.

use std::path::{Path, PathBuf};

use super::{SpecError, Surroundings};
use crate::api::dto::{config::Config, host_config::HostConfig};

/// What makes a container the person's own.
pub struct Me {
    /// `UID:GID`
    pub user: String,
    pub groups: Vec<String>,
    /// The home directory and the present one, each where it is; none within another.
    pub directories: Vec<String>,
    pub working_dir: Option<String>,
    /// `HOME`, `USER` and `LOGNAME`, as far as they are set.
    pub env: Vec<(String, String)>,
}

impl Me {
    /// Of who types, in `here`.
    ///
    /// # Errors
    /// When a directory has a name that no mount can have.
    pub fn of(around: &Surroundings, here: &Path) -> Result<Self, SpecError> {
        let person = around.person();
        let home =
            around.var("HOME").filter(|home| home.starts_with('/')).map(|home| around.absolute(Path::new(&home)));
        let mut shown: Vec<PathBuf> = Vec::new();
        for dir in home.into_iter().chain([here.to_owned()]) {
            // The root of this machine is not to be the root of the container, and what is shown need not be shown twice.
            if dir != Path::new("/") && !shown.iter().any(|other| dir.starts_with(other)) {
                shown.push(dir);
            }
        }
        let mut directories = Vec::new();
        for dir in shown {
            let text = dir.to_string_lossy().into_owned();
            if text.contains([':', ',']) {
                return Err(SpecError::value("as-me", &text, "a directory with : or , in its name cannot be mounted"));
            }
            directories.push(text);
        }
        let var = |name: &str| Some((name.to_owned(), around.var(name)?));
        Ok(Self {
            user: format!("{}:{}", person.uid, person.gid),
            groups: person.groups.iter().map(ToString::to_string).collect(),
            directories,
            working_dir: (here != Path::new("/")).then(|| here.to_string_lossy().into_owned()),
            env: ["HOME", "USER", "LOGNAME"].into_iter().filter_map(var).collect(),
        })
    }
}

/// Adds to what other flags have said, and changes nothing of it.
///
/// # Errors
/// When the home directory has a name that no mount can have.
pub fn apply(config: &mut Config, host: &mut HostConfig, around: &Surroundings) -> Result<(), SpecError> {
    let me = Me::of(around, &around.absolute(Path::new(".")))?;
    config.user = me.user;
    host.group_add.get_or_insert_default().extend(me.groups);
    for dir in &me.directories {
        host.binds.get_or_insert_default().push(format!("{dir}:{dir}"));
    }
    if config.working_dir.is_empty() {
        config.working_dir = me.working_dir.unwrap_or_default();
    }
    let is_set = |name: &str| config.env.iter().any(|variable| variable.split('=').next() == Some(name));
    let own: Vec<_> = me.env.into_iter().filter(|(name, _)| !is_set(name)).collect();
    config.env.extend(own.into_iter().map(|(name, value)| format!("{name}={value}")));
    Ok(())
}
