//! Masked and read-only paths.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::attach::plain_attrs;
use super::{dev, filesystem, inroot};
use crate::launch::step::{ResultExt, StepError};
use crate::sys::{self, MOUNT_ATTR_RDONLY, MountAttr};

/// Opens a path, or nothing where there is none.
fn find(root: BorrowedFd<'_>, path: &Path) -> io::Result<Option<OwnedFd>> {
    match inroot::open(root, path, OFlags::PATH) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes paths read-only, with everything below them.
pub(crate) fn make_readonly(root: BorrowedFd<'_>, paths: &[PathBuf]) -> Result<(), StepError> {
    let attr = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    for path in paths {
        let what = || format!("make {} read-only", path.display());
        let Some(target) = find(root, path).step_with(what)? else {
            continue;
        };
        let mount = sys::clone_tree(target.as_fd(), c"", true, false).step_with(what)?;
        sys::mount_setattr(mount.as_fd(), true, attr).step_with(what)?;
        sys::attach(mount.as_fd(), target.as_fd()).step_with(what)?;
    }
    Ok(())
}

/// Hides paths: a directory behind an empty read-only one, anything else behind the null device.
pub(crate) fn mask(root: BorrowedFd<'_>, paths: &[PathBuf]) -> Result<(), StepError> {
    let mut null: Option<OwnedFd> = None;
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let what = || format!("mask {}", path.display());
        let Some(target) = find(root, path).step_with(what)? else {
            continue;
        };
        if !inroot::is_directory(target.as_fd()).step_with(what)? {
            if null.is_none() {
                null = Some(dev::open_null().step("open /dev/null")?);
            }
            let source = null.as_ref().expect("it has just been set").as_fd();
            let mount = sys::clone_tree(source, c"", false, false).step_with(what)?;
            sys::attach(mount.as_fd(), target.as_fd()).step_with(what)?;
            continue;
        }
        let mount = match &empty {
            // One empty file system serves all masked directories.
            Some(first) => sys::clone_tree(first.as_fd(), c"", false, false).step_with(what)?,
            None => {
                let attrs = plain_attrs() | rustix::mount::MountAttrFlags::MOUNT_ATTR_RDONLY;
                filesystem::tmpfs(&[("size", "4k"), ("mode", "555")], attrs).step_with(what)?
            }
        };
        sys::attach(mount.as_fd(), target.as_fd()).step_with(what)?;
        empty.get_or_insert(mount);
    }
    Ok(())
}
