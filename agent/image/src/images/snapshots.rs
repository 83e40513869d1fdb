//! Snapshots: a container's own directories over an image's layers.

use std::io::BufReader;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;

use super::built::write_layer;
use super::export::OUT;
use super::{Images, Snapshot, blocking};
use crate::digest::{Digest, ImageId};
use crate::error::Error;
use crate::overlay::{Merge, mount_detached};
use crate::quota;
use crate::unpack::{UnpackOptions, unpack};

impl Images {
    /// Makes the directories of a container over an image. Quick: it copies nothing.
    pub async fn prepare(&self, container_id: &str, image: &ImageId) -> Result<Snapshot, Error> {
        check_id(container_id)?;
        let inner = &self.inner;
        let _no_collection = inner.collecting.read().await;
        let state = inner.state.view();
        let record = state.images.get(image).ok_or_else(|| Error::NotFound(image.to_string()))?;
        let lower = record.chain.last().map(|top| self.layer_paths(top)).transpose()?.unwrap_or_default();
        let base = record.chain.last().and_then(|top| state.layers.get(top)).map_or("scratch", |l| l.dir.as_str());
        let dir = inner.dirs.container(container_id);
        match fs::create_dir(&dir) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::SnapshotExists(container_id.to_owned()));
            }
            Err(e) => return Err(Error::io("create", dir, e)),
        }
        match fill(&dir, base, lower.first().map(PathBuf::as_path)) {
            Ok((upper, work)) => Ok(Snapshot { lower, upper, work }),
            Err(error) => {
                inner.dirs.discard(&dir)?;
                Err(error)
            }
        }
    }

    /// Limits the bytes of a new container's own files.
    ///
    /// # Errors
    /// [`Error::NoQuota`] where the file system keeps none.
    pub async fn limit_snapshot(&self, container_id: &str, bytes: u64) -> Result<(), Error> {
        let Snapshot { upper, work, .. } = self.find_snapshot(container_id)?;
        let (dir, id) = (self.inner.dirs.container(container_id), container_id.to_owned());
        blocking(move || quota::limit(&dir, &[&upper, &work], &id, bytes)).await
    }

    /// Writes a container's own files down as an uncompressed layer. Nobody may change them meanwhile.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`]; files that cannot be read; a full disk.
    pub async fn pack_snapshot(&self, container_id: &str, file: PathBuf) -> Result<(), Error> {
        let upper = self.find_snapshot(container_id)?.upper;
        blocking(move || {
            let mut out = fs::File::create(&file).map_err(|e| Error::io("create", &file, e))?;
            write_layer(&upper, &mut out)
        })
        .await
    }

    /// Gives a new container the files that [`Images::pack_snapshot`] wrote.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`]; a layer that is none; a full disk.
    pub async fn unpack_snapshot(&self, container_id: &str, file: PathBuf) -> Result<(), Error> {
        let upper = self.find_snapshot(container_id)?.upper;
        blocking(move || {
            let root = fs::File::open(&upper).map_err(|e| Error::io("open", &upper, e))?;
            let layer = fs::File::open(&file).map_err(|e| Error::io("open", &file, e))?;
            let options = UnpackOptions { whiteouts: true, ..UnpackOptions::default() };
            unpack(root.file().as_fd(), BufReader::with_capacity(OUT, layer), &options)
                .map(drop)
                .map_err(|e| Error::unpack(file.display().to_string(), &upper, e))
        })
        .await
    }

    /// Finds a container's directories again.
    pub async fn snapshot(&self, container_id: &str) -> Result<Snapshot, Error> {
        self.find_snapshot(container_id)
    }

    /// The containers that have directories.
    pub async fn snapshots(&self) -> Result<Vec<String>, Error> {
        Ok(self.inner.dirs.list()?.1)
    }

    pub(super) fn find_snapshot(&self, container_id: &str) -> Result<Snapshot, Error> {
        check_id(container_id)?;
        let dir = self.inner.dirs.container(container_id);
        if !dir.join("base").is_symlink() {
            return Err(Error::NoSnapshot(container_id.to_owned()));
        }
        let lower = match self.top_layer(container_id)? {
            Some(top) => self.layer_paths(&top)?,
            None => Vec::new(),
        };
        Ok(Snapshot { lower, upper: dir.join("fs"), work: dir.join("work") })
    }

    /// The layer that a container stands on; `None` if it stands on nothing.
    pub(super) fn top_layer(&self, container_id: &str) -> Result<Option<Digest>, Error> {
        let Some(name) = self.inner.dirs.base(container_id)? else { return Ok(None) };
        let state = self.inner.state.view();
        let top = state.layers.iter().find(|(_, layer)| layer.dir == name).map(|(chain, _)| chain.clone());
        top.map(Some).ok_or_else(|| Error::NoSnapshot(format!("{container_id} (its image's layers are gone)")))
    }

    /// A layer's directory and those below, top first.
    pub(super) fn layer_paths(&self, top: &Digest) -> Result<Vec<PathBuf>, Error> {
        let state = self.inner.state.view();
        let lineage = state.lineage(top).ok_or_else(|| Error::invalid(format!("layer {}", top.short()), "is gone"))?;
        Ok(lineage.into_iter().map(|(_, layer)| self.inner.dirs.layer(&layer.dir)).collect())
    }

    /// Removes a container's directories. It is no error if there are none.
    pub async fn remove_snapshot(&self, container_id: &str) -> Result<(), Error> {
        check_id(container_id)?;
        let inner = &self.inner;
        let base = inner.dirs.base(container_id)?;
        let dir = inner.dirs.container(container_id);
        quota::lift(&dir);
        inner.dirs.discard(&dir)?;
        let dirs = Arc::clone(&inner.dirs);
        // The name is free at once; a tree of many files need not be waited for.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = dirs.empty_trash() {
                tracing::warn!(%error, "cannot remove a container's files");
            }
        });
        // The image may have been removed while the container stood on its layers.
        let state = inner.state.view();
        let orphaned = base.is_some_and(|base| {
            let chain = state.layers.iter().find(|(_, l)| l.dir == base).map(|(c, _)| c);
            chain.is_some_and(|c| !state.images.values().any(|i| i.chain.contains(c)))
        });
        if orphaned {
            self.collect().await?;
        }
        Ok(())
    }

    /// Bytes of the container's own files, and of all it sees (Docker's `SizeRw` and `SizeRootFs`).
    pub async fn snapshot_size(&self, container_id: &str) -> Result<(u64, u64), Error> {
        let snapshot = self.find_snapshot(container_id)?;
        let state = self.inner.state.view();
        let layers: u64 = match self.top_layer(container_id)? {
            Some(top) => state.lineage(&top).unwrap_or_default().iter().map(|(_, l)| l.size).sum(),
            None => 0,
        };
        let own = blocking(move || crate::archive::tree_size(&snapshot.upper)).await?;
        Ok((own, own + layers))
    }

    /// A mount of a container's merged file tree that appears nowhere: it ends when the descriptor is closed.
    /// For a container that runs use its own mount namespace (`/proc/<pid>/root`) instead.
    pub async fn mount(&self, container_id: &str, writable: bool) -> Result<OwnedFd, Error> {
        let snapshot = self.find_snapshot(container_id)?;
        let scratch = self.inner.dirs.root().join("trash");
        blocking(move || {
            let Snapshot { mut lower, upper, work } = snapshot;
            if writable {
                return mount_detached(
                    &Merge { lower: &lower, upper: Some((&upper, &work)), volatile: false },
                    &scratch,
                );
            }
            lower.insert(0, upper);
            mount_detached(&Merge { lower: &lower, upper: None, volatile: false }, &scratch)
        })
        .await
    }

    /// A mount of an image's merged file tree, read only, that appears nowhere. Empty for an image without layers.
    pub async fn mount_image(&self, image: &ImageId) -> Result<Option<OwnedFd>, Error> {
        let state = self.inner.state.view();
        let record = state.images.get(image).ok_or_else(|| Error::NotFound(image.to_string()))?;
        let Some(top) = record.chain.last() else { return Ok(None) };
        let (lower, scratch) = (self.layer_paths(top)?, self.inner.dirs.root().join("trash"));
        blocking(move || mount_detached(&Merge { lower: &lower, upper: None, volatile: false }, &scratch).map(Some))
            .await
    }
}

/// Makes what a container's directory holds; the link to its base comes last and makes it valid.
fn fill(dir: &Path, base: &str, top: Option<&Path>) -> Result<(PathBuf, PathBuf), Error> {
    let (upper, work) = (dir.join("fs"), dir.join("work"));
    for path in [&upper, &work] {
        fs::create_dir(path).map_err(|e| Error::io("create", path, e))?;
    }
    let (mode, owner) = match top {
        Some(top) => {
            let look = fs::metadata(top).map_err(|e| Error::io("look at", top, e))?;
            (look.mode() & 0o7777, (look.uid(), look.gid()))
        }
        None => (0o755, (0, 0)),
    };
    // The root directory looks as the image has it: in a merged tree the top directory's look counts.
    let made = fs::metadata(&upper).map_err(|e| Error::io("look at", &upper, e))?;
    if owner != (made.uid(), made.gid()) {
        std::os::unix::fs::chown(&upper, Some(owner.0), Some(owner.1))
            .map_err(|e| Error::io("set the owner of", &upper, e))?;
    }
    fs::set_permissions(&upper, PermissionsExt::from_mode(mode))
        .map_err(|e| Error::io("set the mode of", &upper, e))?;
    fs::set_permissions(dir, PermissionsExt::from_mode(0o711)).map_err(|e| Error::io("set the mode of", dir, e))?;
    let link = dir.join("base");
    symlink(base, &link).map_err(|e| Error::io("create", link, e))?;
    Ok((upper, work))
}

/// An id becomes a directory's name.
fn check_id(id: &str) -> Result<(), Error> {
    let good = !id.is_empty()
        && id.len() <= 128
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !id.starts_with('.');
    if good {
        Ok(())
    } else {
        Err(Error::invalid(format!("container id {id:?}"), "has characters that it cannot have"))
    }
}
