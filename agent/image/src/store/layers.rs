//! Layer and container directories, under names as short as possible: an overlay mount lists them in one page.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};

use super::keep_apart;
use crate::digest::Digest;
use crate::error::Error;
use crate::unpack::{SafeRoot, remove_tree};

/// The chain ids of layers, oldest first: each names a layer together with all below it.
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let id = match chain.last() {
            None => diff_id.clone(),
            Some(parent) => Digest::of(format!("{parent} {diff_id}").as_bytes()),
        };
        chain.push(id);
    }
    chain
}

/// The directories below `snapshots/`.
pub(crate) struct LayerDirs {
    root: PathBuf,
    next: AtomicU64,
    filling: Mutex<HashSet<String>>,
}

impl LayerDirs {
    /// Opens them, making them where missing.
    pub(crate) fn open(root: PathBuf) -> Result<LayerDirs, Error> {
        for (sub, mode) in [("", 0o711), ("l", 0o711), ("c", 0o711), ("held", 0o700), ("work", 0o711), ("trash", 0o700)]
        {
            let dir = root.join(sub);
            fs::create_dir_all(&dir).map_err(|e| Error::io("create", &dir, e))?;
            fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(mode))
                .map_err(|e| Error::io("set the mode of", &dir, e))?;
        }
        // What a build that was cut off had there.
        let work = root.join("work");
        let dir = fs::File::open(&work).map_err(|e| Error::io("open", &work, e))?;
        for name in names(&work)? {
            remove_tree(dir.file().as_fd(), name.as_bytes()).map_err(|e| Error::io("remove", work.join(&name), e))?;
        }
        for sub in ["l", "c"] {
            keep_apart(&root.join(sub));
        }
        let highest = names(&root.join("l"))?.iter().filter_map(|n| u64::from_str_radix(n, 36).ok()).max().unwrap_or(0);
        Ok(LayerDirs { root, next: AtomicU64::new(highest + 1), filling: Mutex::default() })
    }

    /// The directory of all.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A layer's directory.
    pub(crate) fn layer(&self, name: &str) -> PathBuf {
        self.root.join("l").join(name)
    }

    /// Where overlayfs works while a layer is being filled.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.root.join("work").join(name)
    }

    /// A container's directory.
    pub(crate) fn container(&self, id: &str) -> PathBuf {
        self.root.join("c").join(id)
    }

    /// Makes a new, empty layer directory. It is a leftover until a record names it.
    pub(crate) fn create(self: &Arc<Self>) -> Result<NewLayer, Error> {
        let name = base36(self.next.fetch_add(1, Ordering::Relaxed));
        let path = self.layer(&name);
        fs::create_dir(&path).map_err(|e| Error::io("create", &path, e))?;
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .map_err(|e| Error::io("set the mode of", &path, e))?;
        self.filling.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        Ok(NewLayer { dirs: Arc::clone(self), name, keep: false })
    }

    /// Whether somebody works on this layer directory.
    pub(crate) fn is_being_filled(&self, name: &str) -> bool {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// Layer directories and container directories that are on the disk.
    pub(crate) fn list(&self) -> Result<(Vec<String>, Vec<String>), Error> {
        Ok((names(&self.root.join("l"))?, names(&self.root.join("c"))?))
    }

    /// The layers that containers stand on, by directory name.
    pub(crate) fn used_by_containers(&self) -> Result<HashSet<String>, Error> {
        let mut used = HashSet::new();
        for id in names(&self.root.join("c"))? {
            if let Some(base) = self.base(&id)? {
                used.insert(base);
            }
        }
        Ok(used)
    }

    /// The layer that a container stands on: it is the target of a symbolic link, which is never half written.
    pub(crate) fn base(&self, container: &str) -> Result<Option<String>, Error> {
        let link = self.container(container).join("base");
        match fs::read_link(&link) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned()).filter(|t| t != "scratch")),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", link, e)),
        }
    }

    /// Takes a directory (`l/…`, `c/…`) away at once; what is in it is removed by [`LayerDirs::empty_trash`].
    pub(crate) fn discard(&self, path: &Path) -> Result<(), Error> {
        let place = self.root.join("trash").join(base36(self.next.fetch_add(1, Ordering::Relaxed)));
        match fs::rename(path, &place) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io("remove", path, e)),
        }
    }

    /// Removes for good what was discarded.
    pub(crate) fn empty_trash(&self) -> Result<(), Error> {
        let trash = self.root.join("trash");
        let dir = fs::File::open(&trash).map_err(|e| Error::io("open", &trash, e))?;
        for name in names(&trash)? {
            remove_tree(dir.file().as_fd(), name.as_bytes()).map_err(|e| Error::io("remove", trash.join(&name), e))?;
        }
        Ok(())
    }

    /// Gives directories that a layer's archive did not describe the look that they have in the layers below.
    pub(crate) fn mend_implicit(&self, layer: &Path, implicit: &[Vec<u8>], below: &[PathBuf]) -> Result<(), Error> {
        if implicit.is_empty() || below.is_empty() {
            return Ok(());
        }
        let open = |path: &Path| {
            rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|e| Error::io("open", path, e.into()))
        };
        let target = open(layer)?;
        let sources = below.iter().map(|p| open(p)).collect::<Result<Vec<_>, _>>()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        for path in implicit {
            let Ok(to) = SafeRoot::new(target.as_fd()).open(path, flags) else { continue };
            if let Some(from) = sources.iter().find_map(|s| SafeRoot::new(s.as_fd()).open(path, flags).ok()) {
                copy_look(&from, &to).map_err(|e| Error::io("set the owner and mode of", layer, e.into()))?;
            }
        }
        Ok(())
    }
}

/// Copies owner, mode, times and security attributes of a directory.
fn copy_look(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    let stat = rustix::fs::fstat(from)?;
    rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    for name in ["system.posix_acl_access", "system.posix_acl_default"] {
        let mut value = vec![0u8; 4096];
        if let Ok(n) = rustix::fs::fgetxattr(from, name, &mut value[..]) {
            rustix::fs::fsetxattr(to, name, &value[..n], XattrFlags::empty())?;
        }
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ },
    };
    rustix::fs::utimensat(to, ".", &times, AtFlags::empty())
}

/// A layer directory that is being filled; unless kept it is removed.
pub(crate) struct NewLayer {
    dirs: Arc<LayerDirs>,
    name: String,
    keep: bool,
}

impl NewLayer {
    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.dirs.layer(&self.name)
    }

    /// Its name, for the record.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A record names it now.
    pub(crate) fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for NewLayer {
    fn drop(&mut self) {
        self.dirs.filling.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        if self.keep {
            return;
        }
        let removed = self.dirs.discard(&self.path()).and_then(|()| self.dirs.empty_trash());
        if let Err(error) = removed {
            tracing::warn!(%error, "cannot remove an unfinished layer");
        }
    }
}

pub(super) fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = fs::read_dir(dir).map_err(|e| Error::io("list", dir, e))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(|e| Error::io("list", dir, e))?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn base36(mut n: u64) -> String {
    let mut text = Vec::new();
    loop {
        text.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(n % 36) as usize] as char);
        n /= 36;
        if n == 0 {
            return text.iter().rev().collect();
        }
    }
}
