//! The root: putting it into the mount namespace, and moving into it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::UnmountFlags;

use super::source::{RootSource, c_path};
use crate::launch::step::{ResultExt, StepError};
use crate::sys;

/// Cuts the new mount namespace off from the one that it was copied from.
pub(crate) fn isolate(propagation: Option<(u64, bool)>) -> Result<(), StepError> {
    sys::set_propagation(c"/", towards_host(propagation) | libc::MS_REC)
        .step("cut the mount namespace off from the host's")
}

/// What a mount that comes from the host becomes. A slave still sees what the host mounts; only that, or nothing,
/// may pass. A shared root is made shared when all is in place, as a peer group of its own.
pub(crate) fn towards_host(propagation: Option<(u64, bool)>) -> u64 {
    match propagation {
        None | Some((libc::MS_SLAVE | libc::MS_SHARED, _)) => libc::MS_SLAVE,
        Some(_) => libc::MS_PRIVATE,
    }
}

/// Attaches the root at `place`, a directory that exists. Returns its descriptor.
pub(crate) fn attach(source: RootSource, place: &Path, propagation: Option<(u64, bool)>) -> Result<OwnedFd, StepError> {
    let what = || format!("mount the root file system on {}", place.display());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match source {
        RootSource::Plain(path) => rustix::fs::openat(CWD, &path, flags, Mode::empty()).step_with(what),
        RootSource::Detached(mount) => {
            let target = rustix::fs::openat(CWD, place, flags, Mode::empty()).step_with(what)?;
            let attr = sys::MountAttr { propagation: towards_host(propagation), ..Default::default() };
            sys::mount_setattr(mount.as_fd(), true, attr).step_with(what)?;
            sys::attach(mount.as_fd(), target.as_fd()).step_with(what)?;
            Ok(mount)
        }
        RootSource::LegacyOverlay { base, options } => {
            let target = c_path(place)?;
            rustix::process::chdir(&base).step_with(what)?;
            // SAFETY: all pointers are to C strings that live through the call.
            let result = unsafe {
                libc::mount(c"overlay".as_ptr(), target.as_ptr(), c"overlay".as_ptr(), 0, options.as_ptr().cast())
            };
            if result != 0 {
                return Err(io::Error::last_os_error()).step_with(what);
            }
            rustix::fs::openat(CWD, place, flags, Mode::empty()).step_with(what)
        }
    }
}

/// How to make the new root the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enter {
    /// `pivot_root`, and the old root is gone.
    Pivot,
    /// For an initramfs, whose root cannot be pivoted away: the new root is moved over the old one.
    Move,
    /// No mount namespace of the container's own.
    Chroot,
}

/// Makes `root` the root and the working directory.
pub(crate) fn enter(root: &OwnedFd, how: Enter) -> Result<(), StepError> {
    rustix::process::fchdir(root).step("enter the root file system")?;
    match how {
        Enter::Pivot => {
            // The old root lands over the new one, as both are the same directory, and is taken off from there. All
            // of it is cut off from the host already.
            rustix::process::pivot_root(".", ".").step("make the container's root file system the root")?;
            rustix::mount::unmount(".", UnmountFlags::DETACH).step("detach the host's root file system")?;
        }
        Enter::Move => {
            rustix::mount::mount_move(".", "/").step("move the container's root file system over the root")?;
            rustix::process::chroot(".").step("enter the root file system")?;
        }
        Enter::Chroot => rustix::process::chroot(".").step("enter the root file system")?,
    }
    rustix::process::chdir("/").step("enter the root file system")
}
