//! `/dev`: nodes, links, and the console.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};

use super::inroot::{self, Missing};
use super::plan::DevicePlan;
use crate::launch::step::{ResultExt, StepError};
use crate::sys;

/// What every container has (config-linux.md, "Default Devices").
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// runtime-linux.md, "Dev symbolic links", and the place where programs look for new terminals.
const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// The default devices that the spec does not describe itself, then the spec's.
fn all(devices: &[DevicePlan]) -> impl Iterator<Item = DevicePlan> {
    let described = |path: &str| devices.iter().any(|device| device.path == Path::new(path));
    let defaults = DEFAULTS.into_iter().filter(move |(path, ..)| !described(path)).map(|(path, major, minor)| {
        DevicePlan { path: PathBuf::from(path), kind: libc::S_IFCHR, major, minor, mode: 0o666, uid: 0, gid: 0 }
    });
    defaults.chain(devices.iter().cloned())
}

/// Makes the device nodes and links. `bind` uses the host's nodes by bind mounts, where the container's user
/// namespace may make none.
pub(crate) fn populate(root: BorrowedFd<'_>, devices: &[DevicePlan], bind: bool) -> Result<(), StepError> {
    for device in all(devices) {
        let what = || format!("make device {}", device.path.display());
        let made = if bind && device.kind != libc::S_IFIFO {
            Err(io::Error::from_raw_os_error(libc::EPERM))
        } else {
            make_node(root, &device)
        };
        match made {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => bind_node(root, &device).step_with(what)?,
            other => other.step_with(what)?,
        }
    }
    for (path, target) in LINKS {
        make_link(root, Path::new(path), target).step_with(|| format!("make link {path}"))?;
    }
    Ok(())
}

fn make_node(root: BorrowedFd<'_>, device: &DevicePlan) -> io::Result<()> {
    let Some((parent, name)) = inroot::open_parent(root, &device.path)? else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let number = rustix::fs::makedev(device.major, device.minor);
    let kind = FileType::from_raw_mode(device.kind);
    match rustix::fs::mknodat(&parent, name, kind, Mode::from_raw_mode(device.mode), number) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => {
            let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let same =
                stat.st_mode & libc::S_IFMT == device.kind && (device.kind == libc::S_IFIFO || stat.st_rdev == number);
            if !same {
                return Err(io::Error::from_raw_os_error(libc::EEXIST));
            }
        }
        Err(error) => return Err(error.into()),
    }
    let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
    if device.uid != 0 || device.gid != 0 {
        rustix::fs::chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// Puts the host's node of the same path over an empty file.
fn bind_node(root: BorrowedFd<'_>, device: &DevicePlan) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let node = rustix::fs::openat(CWD, &device.path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&node)?;
    if stat.st_mode & libc::S_IFMT != device.kind || stat.st_rdev != rustix::fs::makedev(device.major, device.minor) {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    let mount = sys::clone_tree(node.as_fd(), c"", false, false)?;
    let target = inroot::open_or_make(root, &device.path, Missing::File)?;
    sys::attach(mount.as_fd(), target.as_fd())
}

fn make_link(root: BorrowedFd<'_>, path: &Path, target: &str) -> io::Result<()> {
    let Some((parent, name)) = inroot::open_parent(root, path)? else {
        return Ok(());
    };
    match rustix::fs::symlinkat(target, &parent, name) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => {
            // The image's own /dev may have a node or a link here; the links of the specification win over a
            // stale ptmx only, which would open terminals of the host.
            if name != "ptmx" {
                return Ok(());
            }
            rustix::fs::unlinkat(&parent, name, AtFlags::empty())?;
            Ok(rustix::fs::symlinkat(target, &parent, name)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Puts the terminal `slave` over `/dev/console`.
pub(crate) fn console(root: BorrowedFd<'_>, slave: BorrowedFd<'_>) -> io::Result<()> {
    let mount = sys::clone_tree(slave, c"", false, false)?;
    let target = inroot::open_or_make(root, Path::new("/dev/console"), Missing::File)?;
    sys::attach(mount.as_fd(), target.as_fd())
}

/// Opens the null device, and makes sure that it is one: an image's `/dev/null` may be anything.
pub(crate) fn open_null() -> io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let null = rustix::fs::openat(CWD, "/dev/null", flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&null)?;
    if stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == rustix::fs::makedev(1, 3) {
        Ok(null)
    } else {
        Err(io::Error::other("/dev/null is not the null device"))
    }
}
