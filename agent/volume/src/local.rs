//! The `local` driver's options: a file system that is mounted over the volume's directory while somebody uses it.

use std::collections::BTreeMap;
use std::io;
use std::net::ToSocketAddrs;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags};

use crate::Error;

/// Says which options there are and which of them belong together.
pub(crate) fn validate(options: &BTreeMap<String, String>) -> Result<(), Error> {
    for key in options.keys() {
        match key.as_str() {
            "type" | "o" | "device" => {}
            "size" => {
                return Err(Error::Invalid(
                    "volume option \"size\" is not supported: quotas are not; use type=tmpfs with o=size=…".into(),
                ));
            }
            other => return Err(Error::Invalid(format!("invalid option for the local volume driver: {other:?}"))),
        }
    }
    for (key, needs) in [("type", "device"), ("o", "device"), ("o", "type"), ("device", "type")] {
        if options.contains_key(key) && !options.contains_key(needs) {
            return Err(Error::Invalid(format!("missing required option {needs:?}, which {key:?} needs")));
        }
    }
    Ok(())
}

/// Mounts what the options say at `target`, if they say anything and it is not there yet.
pub(crate) fn mount(name: &str, options: &BTreeMap<String, String>, target: &Path) -> Result<(), Error> {
    let (Some(kind), Some(device)) = (options.get("type"), options.get("device")) else { return Ok(()) };
    if is_mounted(target)? {
        return Ok(());
    }
    let fail =
        |source: io::Error| Error::Mount { name: name.to_owned(), device: device.clone(), kind: kind.clone(), source };
    let (flags, propagation, data) = parse(options.get("o").map_or("", String::as_str));
    let data = if kind.starts_with("nfs") { with_resolved_address(&data).map_err(fail)? } else { data };
    let result = nix::mount::mount(Some(device.as_str()), target, Some(kind.as_str()), flags, Some(data.as_str()));
    result.map_err(|error| fail(error.into()))?;
    let undo = |error: nix::Error| {
        let _ = nix::mount::umount2(target, MntFlags::MNT_DETACH);
        fail(error.into())
    };
    // A bind takes its flags only in a second step.
    let attributes = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    if flags.contains(MsFlags::MS_BIND) && flags.intersects(attributes) {
        let again = (flags & attributes) | MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
        nix::mount::mount(None::<&str>, target, None::<&str>, again, None::<&str>).map_err(undo)?;
    }
    if !propagation.is_empty() {
        nix::mount::mount(None::<&str>, target, None::<&str>, propagation, None::<&str>).map_err(undo)?;
    }
    Ok(())
}

/// Undoes [`mount`]; what is not mounted is no error.
pub(crate) fn unmount(target: &Path) -> io::Result<()> {
    if is_mounted(target)? {
        nix::mount::umount2(target, MntFlags::MNT_DETACH)?;
    }
    Ok(())
}

fn is_mounted(target: &Path) -> io::Result<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let stat = statx(CWD, target, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
    Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Flags, propagation and the file system's own data out of `o`.
fn parse(options: &str) -> (MsFlags, MsFlags, String) {
    let mut flags = MsFlags::empty();
    let mut propagation = MsFlags::empty();
    let mut data = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "bind" => flags |= MsFlags::MS_BIND,
            "rbind" => flags |= MsFlags::MS_BIND | MsFlags::MS_REC,
            "ro" => flags |= MsFlags::MS_RDONLY,
            "rw" => flags -= MsFlags::MS_RDONLY,
            "nosuid" => flags |= MsFlags::MS_NOSUID,
            "suid" => flags -= MsFlags::MS_NOSUID,
            "nodev" => flags |= MsFlags::MS_NODEV,
            "dev" => flags -= MsFlags::MS_NODEV,
            "noexec" => flags |= MsFlags::MS_NOEXEC,
            "exec" => flags -= MsFlags::MS_NOEXEC,
            "sync" => flags |= MsFlags::MS_SYNCHRONOUS,
            "async" => flags -= MsFlags::MS_SYNCHRONOUS,
            "noatime" => flags |= MsFlags::MS_NOATIME,
            "nodiratime" => flags |= MsFlags::MS_NODIRATIME,
            "relatime" => flags |= MsFlags::MS_RELATIME,
            "strictatime" => flags |= MsFlags::MS_STRICTATIME,
            "private" => propagation |= MsFlags::MS_PRIVATE,
            "rprivate" => propagation |= MsFlags::MS_PRIVATE | MsFlags::MS_REC,
            "shared" => propagation |= MsFlags::MS_SHARED,
            "rshared" => propagation |= MsFlags::MS_SHARED | MsFlags::MS_REC,
            "slave" => propagation |= MsFlags::MS_SLAVE,
            "rslave" => propagation |= MsFlags::MS_SLAVE | MsFlags::MS_REC,
            "defaults" | "" => {}
            other => data.push(other),
        }
    }
    (flags, propagation, data.join(","))
}

/// The kernel's NFS knows addresses only; people write names.
fn with_resolved_address(data: &str) -> io::Result<String> {
    let mut parts = Vec::new();
    for part in data.split(',').filter(|part| !part.is_empty()) {
        match part.strip_prefix("addr=") {
            Some(host) => {
                let mut addresses = (host, 0).to_socket_addrs()?;
                let address = addresses.next().ok_or_else(|| io::Error::other(format!("{host} has no address")))?;
                parts.push(format!("addr={}", address.ip()));
            }
            None => parts.push(part.to_owned()),
        }
    }
    Ok(parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted_into_flags_and_data() {
        let (flags, propagation, data) = parse("size=10m,noexec,uid=1000,ro,rslave");
        assert_eq!(flags, MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY);
        assert_eq!(propagation, MsFlags::MS_SLAVE | MsFlags::MS_REC);
        assert_eq!(data, "size=10m,uid=1000");
        assert_eq!(with_resolved_address("rw,addr=127.0.0.1").unwrap(), "rw,addr=127.0.0.1");
    }

    #[test]
    fn what_is_unknown_or_incomplete_is_refused() {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        assert!(validate(&map(&[])).is_ok());
        assert!(validate(&map(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")])).is_ok());
        assert!(validate(&map(&[("typ", "tmpfs")])).unwrap_err().to_string().contains("\"typ\""));
        assert!(validate(&map(&[("o", "bind")])).unwrap_err().to_string().contains("device"));
    }
}
