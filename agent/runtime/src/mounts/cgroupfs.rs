//! `/sys/fs/cgroup` as the container sees it: its own cgroups and nothing above.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::attach::Tree;
use super::filesystem;
use super::inroot::{self, Missing};
use super::plan::MountPlan;
use super::source::c_path;
use crate::cgroup::{CgroupPath, Hierarchy, Layout};
use crate::launch::step::{ResultExt, StepError};
use crate::sys::{self, MOUNT_ATTR_RDONLY, MountAttr};

/// What a `cgroup` mount shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// The host's hierarchies.
    pub layout: &'a Layout,
    /// The container's cgroup.
    pub path: &'a CgroupPath,
    /// Whether the process is in a cgroup namespace of its own, whose root is that cgroup.
    pub namespace: bool,
}

/// Mounts the host's kind of cgroup file system on `target`.
pub(crate) fn mount(tree: &mut Tree<'_>, mount: &MountPlan, target: BorrowedFd<'_>) -> Result<(), StepError> {
    let what = || format!("mount cgroup on {}", mount.target.display());
    let attrs = mount.options.attr.set | mount.options.recursive_attr.set;
    if let Some(unified) = tree.cgroup.layout.pure_v2() {
        let new = one(unified, tree.cgroup, attrs).step_with(what)?;
        return sys::attach(new.as_fd(), target).step_with(what);
    }
    // Several hierarchies: a directory for each, in a tmpfs that becomes read-only when they are in place.
    let writable = MountAttrFlags::from_bits_retain((attrs & !MOUNT_ATTR_RDONLY) as u32);
    let holder = filesystem::tmpfs(&[("mode", "755"), ("size", "64k")], writable).step_with(what)?;
    sys::attach(holder.as_fd(), target).step_with(what)?;
    for hierarchy in tree.cgroup.layout.hierarchies() {
        let place =
            inroot::open_or_make(holder.as_fd(), Path::new(hierarchy.name()), Missing::Directory).step_with(what)?;
        match one(hierarchy, tree.cgroup, attrs) {
            Ok(new) => sys::attach(new.as_fd(), place.as_fd()).step_with(what)?,
            // The container is not in every hierarchy: named ones of other programs are left out.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            Err(error) => return Err(error).step_with(what),
        }
        for controller in hierarchy.aliases() {
            rustix::fs::symlinkat(hierarchy.name(), &holder, controller).step_with(what)?;
        }
    }
    if attrs & MOUNT_ATTR_RDONLY != 0 {
        let attr = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
        sys::mount_setattr(holder.as_fd(), false, attr).step_with(what)?;
    }
    Ok(())
}

/// One hierarchy, attached nowhere: from the cgroup namespace, or else the container's directory of the host's mount.
fn one(hierarchy: &Hierarchy, view: View<'_>, attrs: u64) -> io::Result<OwnedFd> {
    if view.namespace {
        match fresh(hierarchy, attrs) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EBUSY)) => {}
            other => return other,
        }
    }
    let dir = c_path(&hierarchy.directory(view.path)).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mount = sys::clone_tree(CWD, &dir, false, false)?;
    sys::mount_setattr(mount.as_fd(), false, MountAttr { set: attrs, ..MountAttr::default() })?;
    Ok(mount)
}

fn fresh(hierarchy: &Hierarchy, attrs: u64) -> io::Result<OwnedFd> {
    let kind = if hierarchy.is_v2() { "cgroup2" } else { "cgroup" };
    let fs = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "source", "cgroup")?;
    for option in hierarchy.mount_options() {
        match option.split_once('=') {
            Some((key, value)) => rustix::mount::fsconfig_set_string(&fs, key, value)?,
            None => rustix::mount::fsconfig_set_flag(&fs, option.as_str())?,
        }
    }
    rustix::mount::fsconfig_create(&fs)?;
    let attrs = MountAttrFlags::from_bits_retain(attrs as u32);
    Ok(rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attrs)?)
}
