//! Putting the mounts of a plan into the container's tree, one after the other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{FsPickFlags, MountAttrFlags};

use super::inroot::{self, Missing};
use super::plan::MountPlan;
use super::{cgroupfs, filesystem};
use crate::launch::step::{ResultExt, StepError};
use crate::sys::{self, MOUNT_ATTR_RDONLY, MountAttr};

/// The container's tree while it is built.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    /// The root, attached in the container's mount namespace.
    pub root: BorrowedFd<'a>,
    /// The SELinux context for new file systems, where the kernel has SELinux.
    pub label: Option<&'a str>,
    /// What becomes read-only last, because other mounts need mount points in it.
    pub late_readonly: Vec<OwnedFd>,
    /// What a bind mount becomes when it says nothing itself.
    pub default_propagation: u64,
    /// The container's cgroup, for `cgroup` mounts.
    pub cgroup: cgroupfs::View<'a>,
}

impl Tree<'_> {
    /// Does one mount. `source` is what was opened for a bind.
    pub(crate) fn mount(&mut self, mount: &MountPlan, source: Option<OwnedFd>) -> Result<(), StepError> {
        let what = || format!("mount {} on {}", mount.source.display(), mount.target.display());
        if mount.options.remount {
            return self.remount(mount);
        }
        if let Some(source) = source {
            return self.bind(mount, source);
        }
        let target = inroot::open_or_make(self.root, &mount.target, Missing::Directory).step_with(what)?;
        check_target(target.as_fd(), mount)?;
        if mount.kind == "cgroup" || mount.kind == "cgroup2" {
            return cgroupfs::mount(self, mount, target.as_fd());
        }
        let readonly = (mount.options.attr.set | mount.options.recursive_attr.set) & MOUNT_ATTR_RDONLY != 0;
        let late = readonly && mount.kind == "tmpfs";
        let new = if late || mount.options.copy_up {
            let mut writable = mount.clone();
            writable.options.attr.set &= !MOUNT_ATTR_RDONLY;
            writable.options.recursive_attr.set &= !MOUNT_ATTR_RDONLY;
            filesystem::create(&writable, self.label)?
        } else {
            filesystem::create(mount, self.label)?
        };
        if mount.options.copy_up {
            super::copyup::copy(target.as_fd(), new.as_fd())
                .step_with(|| format!("copy {} into its tmpfs", mount.target.display()))?;
        }
        sys::attach(new.as_fd(), target.as_fd()).step_with(what)?;
        propagate(new.as_fd(), mount, None)?;
        if late {
            self.late_readonly.push(new);
        }
        Ok(())
    }

    fn bind(&mut self, mount: &MountPlan, source: OwnedFd) -> Result<(), StepError> {
        let what = || format!("mount {} on {}", mount.source.display(), mount.target.display());
        let missing =
            if inroot::is_directory(source.as_fd()).step_with(what)? { Missing::Directory } else { Missing::File };
        let target = inroot::open_or_make(self.root, &mount.target, missing).step_with(what)?;
        check_target(target.as_fd(), mount)?;
        let default = Some((self.default_propagation, true)).filter(|_| mount.options.propagation.is_empty());
        propagate(source.as_fd(), mount, default)?;
        change(source.as_fd(), mount)?;
        sys::attach(source.as_fd(), target.as_fd()).step_with(what)
    }

    /// Changes a mount that is there already.
    fn remount(&mut self, mount: &MountPlan) -> Result<(), StepError> {
        let what = || format!("remount {}", mount.target.display());
        let target = inroot::open(self.root, &mount.target, rustix::fs::OFlags::PATH).step_with(what)?;
        let reconfigured = !mount.options.data.is_empty() || !mount.options.superblock.is_empty();
        if reconfigured && !mount.options.bind {
            let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
            let fs = rustix::mount::fspick(&target, "", flags).step_with(what)?;
            for word in &mount.options.superblock {
                rustix::mount::fsconfig_set_flag(&fs, *word).step_with(what)?;
            }
            for (key, value) in &mount.options.data {
                match value {
                    Some(value) => rustix::mount::fsconfig_set_string(&fs, key.as_str(), value.as_str()),
                    None => rustix::mount::fsconfig_set_flag(&fs, key.as_str()),
                }
                .step_with(|| format!("{}: option {key}", what()))?;
            }
            rustix::mount::fsconfig_reconfigure(&fs).step_with(what)?;
        }
        change(target.as_fd(), mount)?;
        propagate(target.as_fd(), mount, None)
    }

    /// Attaches a mount that the caller has prepared.
    pub(crate) fn prepared(&mut self, fd: BorrowedFd<'_>, target: &Path, directory: bool) -> Result<(), StepError> {
        let what = || format!("mount on {}", target.display());
        let missing = if directory { Missing::Directory } else { Missing::File };
        let place = inroot::open_or_make(self.root, target, missing).step_with(what)?;
        sys::attach(fd, place.as_fd()).step_with(what)
    }

    /// Makes read-only what had to wait for it.
    pub(crate) fn finish(&mut self) -> Result<(), StepError> {
        let attr = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
        for mount in self.late_readonly.drain(..) {
            sys::mount_setattr(mount.as_fd(), false, attr).step("make a tmpfs read-only")?;
        }
        Ok(())
    }
}

/// Applies the attributes of a plan to a mount.
fn change(mount: BorrowedFd<'_>, plan: &MountPlan) -> Result<(), StepError> {
    for (attr, recursive) in [(plan.options.recursive_attr, true), (plan.options.attr, false)] {
        if attr.set | attr.clear == 0 {
            continue;
        }
        sys::mount_setattr(mount, recursive, attr)
            .step_with(|| format!("change the options of mount {}", plan.target.display()))?;
    }
    Ok(())
}

fn propagate(mount: BorrowedFd<'_>, plan: &MountPlan, default: Option<(u64, bool)>) -> Result<(), StepError> {
    for (propagation, recursive) in default.iter().chain(&plan.options.propagation) {
        let attr = MountAttr { propagation: *propagation, ..MountAttr::default() };
        sys::mount_setattr(mount, *recursive, attr)
            .step_with(|| format!("change the propagation of mount {}", plan.target.display()))?;
    }
    Ok(())
}

/// The files of proc over which a bind mount is usual, and harmless: nothing is read from them by us.
const PROC_FILES: [&str; 12] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
    "/proc/version",
];

/// A mount inside proc could hide what is masked there; only proc itself and some files may be covered.
/// The check is on where the path really led, which the image may have bent by a symbolic link.
fn check_target(target: BorrowedFd<'_>, mount: &MountPlan) -> Result<(), StepError> {
    let inside_proc = rustix::fs::fstatfs(target)
        .map_err(io::Error::from)
        .step_with(|| format!("examine mount point {}", mount.target.display()))?
        .f_type
        == libc::PROC_SUPER_MAGIC;
    let allowed = mount.kind == "proc"
        || mount.options.bind && PROC_FILES.iter().any(|file| mount.target == Path::new(file))
        || mount.options.bind && mount.target == Path::new("/proc");
    if inside_proc && !allowed {
        return Err(StepError::invalid(format!(
            "mount {}: the path leads into the proc file system, which must not be covered",
            mount.target.display()
        )));
    }
    Ok(())
}

/// Attributes for `fsmount` that every file system of ours without programs has.
pub(crate) fn plain_attrs() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC
}
