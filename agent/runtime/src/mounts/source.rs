//! What the container's tree is put together from, opened in the caller's own mount namespace.
//!
//! Sources are taken before the container exists: a missing one is found before anything must be undone,
//! and none of them can be hidden by the container's own mounts. They stay attached nowhere.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;

use super::filesystem;
use super::plan::MountPlan;
use crate::launch::Rootfs;
use crate::launch::step::{ResultExt, StepError};
use crate::sys;

/// The root file system.
#[derive(Debug)]
pub(crate) enum RootSource {
    /// A mount, attached nowhere.
    Detached(OwnedFd),
    /// Options for `mount(2)` in the container's mount namespace: an older kernel takes an overlay with many
    /// layers in no other way. As the options must fit into a page, layers are relative to a directory.
    LegacyOverlay { base: PathBuf, options: CString },
    /// No mount namespace of the container's own: just a directory.
    Plain(PathBuf),
}

/// All sources of a container.
#[derive(Debug)]
pub(crate) struct Sources {
    pub root: RootSource,
    /// One for each mount of the plan; `None` where it is no bind.
    pub binds: Vec<Option<OwnedFd>>,
}

/// A path for the kernel.
pub(crate) fn c_path(path: &Path) -> Result<CString, StepError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| StepError::invalid(format!("the path {path:?} has a zero byte in it")))
}

/// Opens the root file system.
pub(crate) fn open_root(rootfs: &Rootfs, own_mounts: bool) -> Result<RootSource, StepError> {
    match rootfs {
        Rootfs::Path(path) => {
            let what = || format!("open the root file system {}", path.display());
            let stat = rustix::fs::stat(path).step_with(what)?;
            if stat.st_mode & libc::S_IFMT != libc::S_IFDIR {
                return Err(io::Error::from_raw_os_error(libc::ENOTDIR)).step_with(what);
            }
            if !own_mounts {
                return Ok(RootSource::Plain(path.clone()));
            }
            Ok(RootSource::Detached(sys::clone_tree(CWD, &c_path(path)?, true, true).step_with(what)?))
        }
        _ if !own_mounts => Err(StepError::invalid("an overlay needs a mount namespace of the container's own".into())),
        Rootfs::Overlay { lower, upper, work, volatile } => {
            let volatile = *volatile && sys::kernel_version() >= filesystem::VOLATILE;
            if let Some(mount) = filesystem::overlay(lower, Some((upper, work, volatile)))? {
                return Ok(RootSource::Detached(mount));
            }
            let volatile = if volatile { ",volatile" } else { "" };
            let (upper, work) = (upper.display(), work.display());
            legacy_overlay(lower, &format!(",upperdir={upper},workdir={work},index=off{volatile}"))
        }
        Rootfs::ReadOnlyOverlay { lower } => {
            if let [only] = lower.as_slice() {
                // overlayfs wants two layers; one layer needs no overlay.
                let what = || format!("open the root file system {}", only.display());
                let mount = sys::clone_tree(CWD, &c_path(only)?, false, true).step_with(what)?;
                let attr = sys::MountAttr { set: sys::MOUNT_ATTR_RDONLY, ..Default::default() };
                sys::mount_setattr(mount.as_fd(), false, attr).step_with(what)?;
                return Ok(RootSource::Detached(mount));
            }
            if let Some(mount) = filesystem::overlay(lower, None)? {
                return Ok(RootSource::Detached(mount));
            }
            legacy_overlay(lower, "")
        }
    }
}

/// An overlay for `mount(2)`, with layers relative to the directory that they have in common.
fn legacy_overlay(lower: &[PathBuf], more: &str) -> Result<RootSource, StepError> {
    let base = common_directory(lower);
    let relative: Vec<PathBuf> =
        lower.iter().map(|layer| layer.strip_prefix(&base).map_or_else(|_| layer.clone(), Path::to_owned)).collect();
    let options = format!("lowerdir={}{more}", filesystem::joined_layers(&relative));
    Ok(RootSource::LegacyOverlay { base, options: c_path(Path::new(&options))? })
}

/// The deepest directory that all paths lie in, none of them being that directory itself.
fn common_directory(paths: &[PathBuf]) -> PathBuf {
    let Some(first) = paths.first() else { return PathBuf::from("/") };
    let inside = |dir: &&Path| paths.iter().all(|path| path != dir && path.starts_with(dir));
    first.ancestors().find(inside).unwrap_or(Path::new("/")).to_owned()
}

/// Opens the sources of all bind mounts.
pub(crate) fn open_binds(mounts: &[MountPlan]) -> Result<Vec<Option<OwnedFd>>, StepError> {
    mounts
        .iter()
        .map(|mount| {
            if !mount.options.bind || mount.options.remount {
                return Ok(None);
            }
            let what = || format!("mount {} on {}", mount.source.display(), mount.target.display());
            let source = c_path(&mount.source)?;
            sys::clone_tree(CWD, &source, mount.options.recursive, true).step_with(what).map(Some)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_relative_to_what_they_have_in_common() {
        let common = |paths: &[&str]| common_directory(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(common(&["/a/b/1", "/a/b/2"]), Path::new("/a/b"));
        assert_eq!(common(&["/a/b", "/a/b/2"]), Path::new("/a"));
        assert_eq!(common(&["/a", "/b"]), Path::new("/"));
    }
}
