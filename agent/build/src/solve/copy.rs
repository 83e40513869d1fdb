//! `COPY`, `ADD` and `WORKDIR`.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::downloads::Download;
use super::repositories::Repository;
use super::{Solve, Tree, blocking};
use crate::dockerfile::IgnoreFile;
use crate::graph::{Copy, NodeId, Origin, hex};
use crate::tree::{
    Destination, ModeChange, NoDigests, Root, Selection, Wish, cleaned, copy, digest, find_owner, make_dirs, select,
    share, subtree, write_inline,
};
use crate::{BuildError, Draft, GitSource, Worker};

/// What a `COPY` has found to copy.
pub(super) struct Chosen {
    /// One selection for each source, as one may be an archive and another not.
    pub selections: Vec<Selection>,
    /// Of the names and contents of all.
    pub digest: String,
    pub downloads: Vec<Download>,
    pub repositories: Vec<Repository>,
}

impl<W: Worker> Solve<W> {
    /// What a step copies, found out once.
    pub(super) async fn chosen(self: &Arc<Self>, id: NodeId, copy: &Copy) -> Result<Arc<Chosen>, BuildError> {
        self.selected[id].get_or_try_init(|| self.choose(id, copy)).await.cloned()
    }

    async fn choose(self: &Arc<Self>, id: NodeId, copy: &Copy) -> Result<Arc<Chosen>, BuildError> {
        let mut downloads = Vec::new();
        let mut repositories = Vec::new();
        for remote in &copy.remote {
            match GitSource::parse(&remote.url)?.filter(|_| remote.git) {
                Some(source) => repositories.push(self.repository(source, remote).await?),
                None => downloads.push(self.download(id, remote).await?),
            }
        }
        let mut hasher = Sha256::new();
        for repository in &repositories {
            hasher.update(repository.identity().as_bytes());
        }
        for download in &downloads {
            // In a directory it is called by its name.
            hasher.update(download.name.as_bytes());
            hasher.update(download.digest.as_bytes());
            hasher.update(download.modified.unwrap_or_default().to_le_bytes());
        }
        let exclude =
            IgnoreFile::from_patterns(copy.exclude.iter().map(String::as_str)).map_err(BuildError::Request)?;
        let exclude = Some(exclude).filter(|exclude| !exclude.is_empty());
        let (sources, parents) = (copy.sources.clone(), copy.parents);
        let (selections, content) = if sources.is_empty() {
            (Vec::new(), String::new())
        } else {
            let (root, ignore, context) = self.open(&copy.from).await?;
            let shared = Arc::clone(&self.shared);
            blocking(move || {
                let mut selections = Vec::new();
                let mut hasher = Sha256::new();
                for source in &sources {
                    let wish = Wish {
                        sources: std::slice::from_ref(source),
                        parents,
                        ignore: ignore.as_ref(),
                        exclude: exclude.as_ref(),
                    };
                    let selection = select(&root, &wish)?;
                    let content = if context {
                        digest(&root, &selection.items, false, &shared.cache.files())?
                    } else {
                        digest(&root, &selection.items, true, &NoDigests)?
                    };
                    hasher.update(content.as_bytes());
                    selections.push(selection);
                }
                Ok((selections, hex(&hasher.finalize())))
            })
            .await?
        };
        hasher.update(content.as_bytes());
        Ok(Arc::new(Chosen { selections, digest: hex(&hasher.finalize()), downloads, repositories }))
    }

    /// Where files are read from; whether it is a context.
    pub(super) async fn open(self: &Arc<Self>, from: &Origin) -> Result<(Root, Option<IgnoreFile>, bool), BuildError> {
        match from {
            Origin::Context(name) => {
                let source = self.contexts.get(name.as_deref())?;
                Ok((source.open()?, source.ignore.clone(), true))
            }
            Origin::Tree(None) => Err(BuildError::NotFound("scratch has no files to copy".into())),
            Origin::Tree(Some(id)) => {
                let tree = self.tree(*id).await?;
                Ok((Root::new(self.mount(&tree).await?), None, false))
            }
        }
    }

    /// A tree to read from.
    async fn mount(&self, tree: &Tree) -> Result<OwnedFd, BuildError> {
        let dirs = self.dirs(tree);
        if dirs.is_empty() {
            return Err(BuildError::NotFound("the stage has no files at all".into()));
        }
        self.shared.worker.mount(dirs, None).await
    }

    /// The digest of a part of a context, as a mount shows it.
    pub(super) async fn context_digest(
        self: &Arc<Self>,
        name: Option<String>,
        path: String,
    ) -> Result<String, BuildError> {
        let source = self.contexts.get(name.as_deref())?.clone();
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let root = source.open()?;
            let path = cleaned(Path::new(&path));
            let missing = |_| BuildError::NotFound(format!("{:?} was not found in the context", path.display()));
            root.stat(&path).map_err(missing)?;
            let items = subtree(&root, &path, source.ignore.as_ref())?;
            digest(&root, &items, true, &shared.cache.files())
        })
        .await
    }

    pub(super) async fn copy(
        self: &Arc<Self>,
        id: NodeId,
        step: &Copy,
        parent: &Tree,
        _inputs: &HashMap<NodeId, Arc<Tree>>,
    ) -> Result<Option<W::Draft>, BuildError> {
        let chosen = self.chosen(id, step).await?;
        let below = self.dirs(parent);
        let context = matches!(step.from, Origin::Context(_));
        let owner = match &step.chown {
            Some(text) => Some(self.owner(text, &below).await?),
            None if context => Some((0, 0)),
            None => None,
        };
        let lower = if step.link { Vec::new() } else { below };
        let draft = self.shared.worker.draft(&lower).await?;
        let tree = Arc::new(Root::new(self.shared.worker.mount(lower, Some(&draft)).await?));
        let to = Destination {
            path: PathBuf::from(&step.destination),
            directory: step.directory,
            owner,
            mode: step.chmod.as_deref().and_then(ModeChange::parse),
            xattrs: !context,
            latest: self.request.source_date_epoch,
            share: false,
        };
        let mut left = Vec::new();
        if !step.sources.is_empty() {
            let (from, _, _) = self.open(&step.from).await?;
            let from = Arc::new(from);
            let lasting = match &step.from {
                Origin::Context(name) => self.contexts.get(name.as_deref())?.lasting,
                Origin::Tree(_) => false,
            };
            for at in 0..chosen.selections.len() {
                if step.unpack && self.unpacked(&from, &chosen.selections[at], &tree, &to).await? {
                    continue;
                }
                let (chosen, from, tree, mut to) =
                    (Arc::clone(&chosen), Arc::clone(&from), Arc::clone(&tree), to.clone());
                let found = chosen.selections[at].sources;
                if found > 1 && !to.directory && !tree.is_dir(&to.path) {
                    return Err(BuildError::Request(format!(
                        "the pattern matches {found} files, so the destination must be a directory: write it with a / at its end"
                    )));
                }
                to.directory |= found > 1;
                // Another source may be written over the same place.
                to.share = lasting && chosen.selections.len() == 1;
                let cancel = self.cancel.clone();
                let copied =
                    blocking(move || copy(&from, &chosen.selections[at], &tree, &to, &|| cancel.is_cancelled()));
                left.extend(copied.await?);
            }
        }
        for inline in &step.inline {
            let (inline, tree, to) = (inline.clone(), Arc::clone(&tree), to.clone());
            // No clock: the same text makes the same layer.
            blocking(move || write_inline(&tree, &to, &inline.name, inline.content.as_bytes(), 0o644, 0)).await?;
        }
        for repository in &chosen.repositories {
            self.add_repository(repository, &step.exclude, &tree, &to).await?;
        }
        for download in &chosen.downloads {
            self.place(download, &tree, &to).await?;
        }
        drop(tree);
        if !left.is_empty() {
            let layer = draft.path();
            blocking(move || share(&left, &layer)).await?;
        }
        Ok(Some(draft))
    }

    /// A user and group, looked up in a tree if they are names.
    async fn owner(&self, text: &str, dirs: &[PathBuf]) -> Result<(u32, u32), BuildError> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        if let (Ok(uid), Ok(gid)) = (user.parse(), if group.is_empty() { user } else { group }.parse()) {
            return Ok((uid, gid));
        }
        if dirs.is_empty() {
            return Err(BuildError::NotFound(format!("--chown={text}: there is no /etc/passwd yet; use numbers")));
        }
        let root = Root::new(self.shared.worker.mount(dirs.to_vec(), None).await?);
        let text = text.to_owned();
        blocking(move || find_owner(&root, &text)).await
    }

    /// Unpacks a source that is an archive; false if it is none.
    async fn unpacked(
        &self,
        from: &Root,
        selection: &Selection,
        tree: &Root,
        to: &Destination,
    ) -> Result<bool, BuildError> {
        let [item] = selection.items.as_slice() else { return Ok(false) };
        if !selection.single_file {
            return Ok(false);
        }
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
        let Ok(file) = from.open(&item.source, flags) else { return Ok(false) };
        let file = std::fs::File::from(file);
        let (file, archive) = self.archive(file).await?;
        if !archive {
            return Ok(false);
        }
        self.unpack(file, tree, to).await.map(|()| true)
    }

    pub(super) async fn unpack(&self, file: std::fs::File, tree: &Root, to: &Destination) -> Result<(), BuildError> {
        make_dirs(tree, &to.path, to.owner.unwrap_or((0, 0)))?;
        let base = tree.resolve(&to.path).map_err(|error| BuildError::io("open", &to.path, error))?;
        let fd = tree.fd().try_clone_to_owned().map_err(|error| BuildError::io("open", &to.path, error))?;
        // Without --chown an archive's own owners count.
        let owner = to.owner.filter(|owner| *owner != (0, 0));
        self.shared.worker.unpack(fd, cleaned(&base), file, owner).await
    }

    pub(super) async fn workdir(&self, path: &str, parent: &Tree) -> Result<Option<W::Draft>, BuildError> {
        let lower = self.dirs(parent);
        if !lower.is_empty() {
            let root = Root::new(self.shared.worker.mount(lower.clone(), None).await?);
            if root.is_dir(Path::new(path)) {
                return Ok(None);
            }
        }
        let draft = self.shared.worker.draft(&lower).await?;
        let root = Root::new(self.shared.worker.mount(lower, Some(&draft)).await?);
        let path = PathBuf::from(path);
        blocking(move || make_dirs(&root, &path, (0, 0))).await?;
        Ok(Some(draft))
    }
}
