//! The proc file system, as one that no image and no mount can stand in for.
//!
//! What is written under `/proc` (security labels, sysctls) decides how strong the container is. A path
//! below a mount or a symbolic link of the image could lead such a write elsewhere; so it goes to a proc
//! mount of our own that is attached nowhere, or, where the kernel does not let us make one, to the
//! host's after a check that it is the real one, and never crosses into another mount.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

/// A proc file system, opened when first needed.
#[derive(Debug, Default)]
pub(crate) struct Procfs {
    root: Option<OwnedFd>,
}

impl Procfs {
    /// For the pid namespace that the caller is in at the first use.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn root(&mut self) -> io::Result<BorrowedFd<'_>> {
        if self.root.is_none() {
            self.root = Some(match private() {
                Ok(root) => root,
                Err(_) => verified_host()?,
            });
        }
        Ok(self.root.as_ref().expect("it has just been set").as_fd())
    }

    /// Opens a file below the root.
    pub(crate) fn open(&mut self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(self.root()?, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }

    /// Writes a file below the root in one call.
    pub(crate) fn write(&mut self, path: &str, value: &[u8]) -> io::Result<()> {
        let file = self.open(path, OFlags::WRONLY | OFlags::NOFOLLOW)?;
        let written = rustix::io::write(&file, value)?;
        if written == value.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Whether a file is there.
    pub(crate) fn exists(&mut self, path: &str) -> bool {
        self.open(path, OFlags::PATH).is_ok()
    }
}

/// A new proc mount, attached nowhere.
fn private() -> io::Result<OwnedFd> {
    let fs = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&fs)?;
    let attrs =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attrs)?)
}

/// The host's `/proc`, if it is one and if this is its root.
pub(crate) fn verified_host() -> io::Result<OwnedFd> {
    const PROC_ROOT_INODE: u64 = 1;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open("/proc", flags, Mode::empty())?;
    let real = rustix::fs::fstatfs(&root)?.f_type == libc::PROC_SUPER_MAGIC
        && rustix::fs::fstat(&root)?.st_ino == PROC_ROOT_INODE;
    if real { Ok(root) } else { Err(io::Error::other("/proc is no proc file system")) }
}

/// The path under `sys` of a sysctl. Dots separate, unless the name has slashes (then those do, and a dot
/// is part of a name, as in `net/ipv4/conf/eth0.1/forwarding`).
pub(crate) fn sysctl_path(name: &str) -> Option<String> {
    let path = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    let fine = !path.is_empty()
        && CString::new(path.as_str()).is_ok()
        && Path::new(&path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    fine.then(|| format!("sys/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_names_become_paths() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward").as_deref(), Some("sys/net/ipv4/ip_forward"));
        assert_eq!(
            sysctl_path("net/ipv4/conf/eth0.1/forwarding").as_deref(),
            Some("sys/net/ipv4/conf/eth0.1/forwarding")
        );
        for bad in ["", "/kernel", "../kernel", "a/../b", "a\0b"] {
            assert_eq!(sysctl_path(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn files_are_read_through_it() {
        let mut proc = Procfs::new();
        assert!(proc.exists("self/status"));
        assert!(!proc.exists("../etc/passwd"));
    }
}
