//! What the daemon finds out about itself at its start.

use super::{DaemonError, DaemonSettings, roots::Roots};
use crate::api::Facts;

/// What the daemon tells about itself in `/info`.
pub fn gather(
    settings: &DaemonSettings,
    roots: &Roots,
    address_pools: Vec<(String, u8)>,
) -> Result<Facts, DaemonError> {
    Ok(Facts {
        data_root: roots.data.clone(),
        id: identity(roots).map_err(DaemonError::Files)?,
        host_name: host_name(),
        labels: settings.labels.clone(),
        debug: settings.debug,
        log_driver: settings.log_driver.clone().unwrap_or_else(|| "json-file".to_owned()),
        insecure_registries: settings.insecure_registries.clone(),
        registry_mirrors: settings.registry_mirrors.clone(),
        address_pools,
        advertise: settings.swarm_default_advertise_addr.clone().unwrap_or_default(),
    })
}

/// The machine's name.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A random id that is made once for a data root, in the form of a UUID.
fn identity(roots: &Roots) -> std::io::Result<String> {
    once(roots, "engine-id", || {
        let random = hoist_proto::id::ContainerId::random();
        let hex = random.as_str();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-")
    })
}

/// A line that is made up once for a data root and then stays.
fn once(roots: &Roots, name: &str, make: impl FnOnce() -> String) -> std::io::Result<String> {
    let path = roots.data.join(name);
    match fs_err::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
        Err(err) => return Err(err),
    }
    let text = make();
    // Written beside and moved, so that half of it is never read.
    let fresh = roots.data.join(format!("{name}.new"));
    fs_err::write(&fresh, format!("{text}\n"))?;
    fs_err::File::open(&fresh)?.sync_all()?;
    fs_err::rename(&fresh, &path)?;
    Ok(text)
}
