//! Volumes, mounts, tmpfs.

use std::path::Path;

use super::{SpecError, Surroundings, env::key_values, mount};
use crate::{api::dto::host_config::HostConfig, cli::args::create::StorageFlags};

/// Fills in the host's part; what is returned are anonymous volumes.
pub fn apply(flags: &StorageFlags, host: &mut HostConfig, around: &Surroundings) -> Result<Vec<String>, SpecError> {
    let (mut anonymous, mut binds) = (Vec::new(), Vec::new());
    for text in &flags.volume {
        match bind(text, around)? {
            Bind::Anonymous(path) => anonymous.push(path),
            Bind::Named(text) => binds.push(text),
        }
    }
    host.binds = (!binds.is_empty()).then_some(binds);
    for text in &flags.tmpfs {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        if !path.starts_with('/') {
            return Err(SpecError::value("tmpfs", text, "the path must be absolute"));
        }
        host.tmpfs.insert(path.to_owned(), options.to_owned());
    }
    let mounts = flags.mount.iter().map(|text| mount::parse(text, around)).collect::<Result<Vec<_>, _>>()?;
    host.mounts = (!mounts.is_empty()).then_some(mounts);
    host.readonly_rootfs = flags.read_only;
    host.storage_opt = key_values("storage-opt", &flags.storage_opt, '=')?;
    host.volume_driver = flags.volume_driver.clone().unwrap_or_default();
    host.volumes_from = (!flags.volumes_from.is_empty()).then(|| flags.volumes_from.clone());
    if let Some(size) = &flags.shm_size {
        host.shm_size = super::resources::bytes("shm-size", size)?;
        if host.shm_size == 0 {
            return Err(SpecError::value("shm-size", size, "it must be more than nothing"));
        }
    }
    Ok(anonymous)
}

enum Bind {
    Anonymous(String),
    Named(String),
}

/// `PATH`, or `SOURCE:PATH[:OPTIONS]` where a relative source starts with a dot.
fn bind(text: &str, around: &Surroundings) -> Result<Bind, SpecError> {
    let fail = |reason: &str| SpecError::value("volume", text, reason);
    let parts: Vec<&str> = text.split(':').collect();
    let absolute = |path: &str| path.starts_with('/');
    match parts.as_slice() {
        [path] if absolute(path) => Ok(Bind::Anonymous((*path).to_owned())),
        [_] => Err(fail("expected SOURCE:PATH, or an absolute path for a volume without a name")),
        [source, path, options @ ..] if options.len() <= 1 => {
            if source.is_empty() {
                return Err(fail("the source is missing"));
            }
            if !absolute(path) {
                return Err(fail("the path in the container must be absolute"));
            }
            let mut whole = if source.starts_with('.') || source.contains('/') && !absolute(source) {
                if !source.starts_with('.') {
                    return Err(fail("a relative source starts with ./"));
                }
                around.absolute(Path::new(source)).display().to_string()
            } else {
                (*source).to_owned()
            };
            for part in std::iter::once(path).chain(options) {
                whole.push(':');
                whole.push_str(part);
            }
            Ok(Bind::Named(whole))
        }
        _ => Err(fail("too many colons")),
    }
}
