//! Cache mounts: directories that outlive builds, shared as their users ask.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::{Solve, blocking};
use crate::dockerfile::Sharing;
use crate::graph::{MountKind, Node, NodeId, Op, Origin, hex};
use crate::tree::{Destination, Root, Selection, cleaned, copy, subtree};
use crate::{BuildError, Worker};

/// The cache mounts of one builder, below `<root>/mounts/<id's digest>/<number>`.
pub(crate) struct CacheMounts {
    root: PathBuf,
    locks: Mutex<HashMap<PathBuf, Arc<RwLock<()>>>>,
}

/// A cache mount that a command has.
pub(super) struct Locked {
    pub path: PathBuf,
    _guard: Guard,
}

enum Guard {
    Shared(#[allow(dead_code)] OwnedRwLockReadGuard<()>),
    Own(#[allow(dead_code)] OwnedRwLockWriteGuard<()>),
}

impl CacheMounts {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, locks: Mutex::default() }
    }

    fn place(&self, id: &str) -> PathBuf {
        self.root.join(hex(&Sha256::digest(id.as_bytes())))
    }

    fn lock(&self, path: &Path) -> Arc<RwLock<()>> {
        Arc::clone(self.locks.lock().unwrap_or_else(PoisonError::into_inner).entry(path.to_owned()).or_default())
    }

    /// Finds a directory for a mount, and has it as its sharing says.
    async fn take(&self, id: &str, sharing: Sharing) -> Locked {
        let dir = self.place(id);
        match sharing {
            Sharing::Shared => {
                let path = dir.join("0");
                let guard = Guard::Shared(self.lock(&path).read_owned().await);
                Locked { path, _guard: guard }
            }
            Sharing::Locked => {
                let path = dir.join("0");
                let guard = Guard::Own(self.lock(&path).write_owned().await);
                Locked { path, _guard: guard }
            }
            Sharing::Private => {
                let mut number = 0u64;
                loop {
                    let path = dir.join(number.to_string());
                    if let Ok(guard) = self.lock(&path).try_write_owned() {
                        return Locked { path, _guard: Guard::Own(guard) };
                    }
                    number += 1;
                }
            }
        }
    }

    /// All directories with their sizes in bytes and the times of their last change.
    pub(crate) fn list(&self) -> Vec<(String, PathBuf, u64, i64)> {
        let entries = |dir: &Path| fs_err::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found = Vec::new();
        for dir in entries(&self.root).flat_map(|dir| entries(&dir).collect::<Vec<_>>()).filter(|path| path.is_dir()) {
            let size = super::output::settle(&dir, None).ok().flatten().unwrap_or(0);
            let modified = fs_err::metadata(&dir).ok().and_then(|meta| meta.modified().ok());
            let modified = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            let name = dir.strip_prefix(&self.root).unwrap_or(&dir).display().to_string().replace('/', "-");
            found.push((name, dir, size, modified.map_or(0, |time| time.as_secs().cast_signed())));
        }
        found
    }

    /// Removes a directory that no command has; false if one has it.
    pub(crate) fn remove(&self, path: &Path) -> Result<bool, BuildError> {
        let Ok(_guard) = self.lock(path).try_write_owned() else { return Ok(false) };
        fs_err::remove_dir_all(path).map_err(|error| BuildError::io("remove", path, error))?;
        Ok(true)
    }

    pub(crate) fn is_in_use(&self, path: &Path) -> bool {
        self.lock(path).try_write_owned().is_err()
    }
}

impl<W: Worker> Solve<W> {
    /// Takes all cache mounts of a command, always in the same order, so that no two wait for each other.
    pub(super) async fn lock_mounts(self: &Arc<Self>, node: &Node) -> Result<Vec<Locked>, BuildError> {
        let Op::Run(run) = &node.op else { return Ok(Vec::new()) };
        let mut wanted: Vec<(usize, &MountKind)> = run
            .mounts
            .iter()
            .map(|mount| &mount.kind)
            .filter(|kind| matches!(kind, MountKind::Cache { .. }))
            .enumerate()
            .collect();
        wanted.sort_by_key(|(_, kind)| match kind {
            MountKind::Cache { id, .. } => id.clone(),
            _ => String::new(),
        });
        let mut locked: Vec<(usize, Locked)> = Vec::new();
        for (at, kind) in wanted {
            let MountKind::Cache { id, from, source, sharing, mode, uid, gid, .. } = kind else { continue };
            // One command that mounts a cache at two places must not wait for itself.
            let own =
                locked.iter().any(|(_, other)| other.path.parent() == Some(self.shared.mounts.place(id).as_path()));
            let sharing = if own && *sharing == Sharing::Locked { Sharing::Private } else { *sharing };
            let taken = tokio::select! {
                taken = self.shared.mounts.take(id, sharing) => taken,
                () = self.cancel.cancelled() => return Err(BuildError::Canceled),
            };
            if !taken.path.exists() {
                self.fill(&taken.path, from.as_ref(), source, (*mode, *uid, *gid)).await?;
            }
            locked.push((at, taken));
        }
        locked.sort_by_key(|(at, _)| *at);
        Ok(locked.into_iter().map(|(_, locked)| locked).collect())
    }

    /// Makes a cache mount's directory, with what it begins with. It appears when it is complete.
    async fn fill(
        self: &Arc<Self>,
        path: &Path,
        from: Option<&Origin>,
        source: &str,
        (mode, uid, gid): (u32, u32, u32),
    ) -> Result<(), BuildError> {
        let parent = path.parent().unwrap_or(path).to_owned();
        let fail = |error| BuildError::io("create", path, error);
        fs_err::create_dir_all(&parent).map_err(fail)?;
        let new = tempfile::Builder::new().prefix(".new-").tempdir_in(&parent).map_err(fail)?;
        if let Some(from) = from
            && *from != Origin::Tree(None::<NodeId>)
        {
            let (root, ignore, context) = self.open(from).await?;
            let (place, source, cancel) = (new.path().to_owned(), source.to_owned(), self.cancel.clone());
            blocking(move || {
                let items = subtree(&root, &cleaned(Path::new(&source)), ignore.as_ref())?;
                let tree = Root::at(&place).map_err(|error| BuildError::io("open", &place, error))?;
                let to = Destination {
                    path: PathBuf::from("/"),
                    directory: true,
                    owner: None,
                    mode: None,
                    xattrs: !context,
                    latest: None,
                    share: false,
                };
                let selection = Selection { items, sources: 1, single_file: false };
                copy(&root, &selection, &tree, &to, &|| cancel.is_cancelled())
            })
            .await?;
        }
        std::os::unix::fs::chown(new.path(), Some(uid), Some(gid)).map_err(fail)?;
        fs_err::set_permissions(new.path(), std::fs::Permissions::from_mode(mode)).map_err(fail)?;
        match fs_err::rename(new.path(), path) {
            Ok(()) => {
                let _ = new.keep();
                Ok(())
            }
            // Another command that shares it was quicker.
            Err(_) if path.exists() => Ok(()),
            Err(error) => Err(fail(error)),
        }
    }
}
