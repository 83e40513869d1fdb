//! Kernel settings of the calling thread's network namespace.

use std::io;

use crate::error::Error;

/// Writes a setting below `/proc/sys`, unless it has the value already: the directory may be
/// read-only and the value right all the same.
pub(super) fn set(name: &str, value: &str) -> Result<(), Error> {
    let path = format!("/proc/sys/{name}");
    if std::fs::read_to_string(&path).is_ok_and(|now| now.trim_end() == value) {
        return Ok(());
    }
    std::fs::write(&path, value).map_err(|source| Error::Sysctl { name: name.replace('/', "."), source })
}

/// As [`set`], for settings that a kernel without IPv6 or a certain feature does not have.
pub(super) fn set_if_present(name: &str, value: &str) -> Result<(), Error> {
    match set(name, value) {
        Err(Error::Sysctl { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whether a switch is on; one that the kernel does not have is off.
pub(super) fn is_set(name: &str) -> bool {
    std::fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|now| now.trim_end() != "0")
}

/// Lets the host forward packets of a family.
pub(super) fn forward(v6: bool) -> Result<(), Error> {
    if !v6 {
        return set("net/ipv4/ip_forward", "1");
    }
    const FORWARDING: &str = "net/ipv6/conf/all/forwarding";
    if is_set(FORWARDING) {
        return Ok(());
    }
    // A host that forwards no longer listens to router advertisements, and would lose its own default
    // route, unless its interfaces are told to listen all the same.
    if let Ok(interfaces) = std::fs::read_dir("/proc/sys/net/ipv6/conf") {
        for interface in interfaces.flatten() {
            let path = interface.path().join("accept_ra");
            if std::fs::read_to_string(&path).is_ok_and(|now| now.trim_end() == "1") {
                // Best effort: an interface may go away meanwhile.
                let _ = std::fs::write(&path, "2");
            }
        }
    }
    set(FORWARDING, "1")
}
