//! Mounts through descriptors.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// What `mount_setattr` sets, clears and changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MountAttr {
    /// MOUNT_ATTR_* to set.
    pub set: u64,
    /// MOUNT_ATTR_* to clear.
    pub clear: u64,
    /// MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE or 0.
    pub propagation: u64,
    /// A user namespace, with MOUNT_ATTR_IDMAP.
    pub userns: Option<RawFd>,
}

pub(crate) const MOUNT_ATTR_RDONLY: u64 = 0x01;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 0x02;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 0x04;
pub(crate) const MOUNT_ATTR_NOEXEC: u64 = 0x08;
pub(crate) const MOUNT_ATTR_ATIME: u64 = 0x70;
pub(crate) const MOUNT_ATTR_NOATIME: u64 = 0x10;
pub(crate) const MOUNT_ATTR_STRICTATIME: u64 = 0x20;
pub(crate) const MOUNT_ATTR_NODIRATIME: u64 = 0x80;
pub(crate) const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
pub(crate) const MOUNT_ATTR_NOSYMFOLLOW: u64 = 0x0020_0000;

/// Changes the mount that `fd` is the root of, and with `recursive` those below.
pub(crate) fn mount_setattr(fd: BorrowedFd<'_>, recursive: bool, attr: MountAttr) -> io::Result<()> {
    #[repr(C)]
    struct Raw {
        set: u64,
        clear: u64,
        propagation: u64,
        userns: u64,
    }
    let raw = Raw {
        set: attr.set,
        clear: attr.clear,
        propagation: attr.propagation,
        userns: attr.userns.map_or(0, |fd| fd as u64),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: `raw` is the kernel's struct mount_attr and lives through the call; the path is a C string.
    check(unsafe {
        libc::syscall(libc::SYS_mount_setattr, fd.as_raw_fd(), c"".as_ptr(), flags, &raw const raw, size_of::<Raw>())
    })
    .map(drop)
}

const AT_RECURSIVE: libc::c_int = 0x8000;

/// Takes a mount (with those below it) out of the tree as a copy attached nowhere.
pub(crate) fn clone_tree(dir: BorrowedFd<'_>, path: &CStr, recursive: bool, follow: bool) -> io::Result<OwnedFd> {
    const OPEN_TREE_CLONE: libc::c_int = 1;
    let mut flags = OPEN_TREE_CLONE | libc::O_CLOEXEC;
    if recursive {
        flags |= AT_RECURSIVE;
    }
    if path.is_empty() {
        flags |= libc::AT_EMPTY_PATH;
    } else if !follow {
        flags |= libc::AT_SYMLINK_NOFOLLOW;
    }
    // SAFETY: the path is a C string that lives through the call.
    let fd = check(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Attaches the detached mount `mount` on what `target` is.
pub(crate) fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    const F_EMPTY_PATH: libc::c_int = 0x4;
    const T_EMPTY_PATH: libc::c_int = 0x40;
    // SAFETY: both paths are C strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            F_EMPTY_PATH | T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// `mount(2)` with no source, type or data: changes propagation.
pub(crate) fn set_propagation(path: &CStr, flags: u64) -> io::Result<()> {
    // SAFETY: the path is a C string; the kernel ignores the other pointers with these flags.
    let result = unsafe { libc::mount(std::ptr::null(), path.as_ptr(), std::ptr::null(), flags, std::ptr::null()) };
    check(result.into()).map(drop)
}
