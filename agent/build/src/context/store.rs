//! Trees kept between builds, so that the next build of the same directory sends little.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

use super::{
    ContextError, Manifest,
    manifest::{Change, EntryKind},
    tree,
};

/// Of one client's directory at most so many trees stay: builds side by side that saw different things.
const SPARES: usize = 2;

/// Trees of directories that nobody built for so long are removed.
const UNUSED: Duration = Duration::from_secs(14 * 24 * 3600);

/// All trees. A clone is the same store.
#[derive(Clone, Debug)]
pub struct ContextStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    trees: Mutex<BTreeMap<u64, Tree>>,
}

#[derive(Debug)]
struct Tree {
    key: String,
    manifest: Arc<Manifest>,
    /// Builds that read it.
    users: usize,
    /// Somebody changes it.
    changing: bool,
    last_used: SystemTime,
}

/// A tree lent to a build; it does not change until this is dropped.
#[derive(Debug)]
pub struct Lease {
    store: ContextStore,
    id: u64,
    path: PathBuf,
}

/// A tree that still lacks files.
#[derive(Debug)]
pub struct Incoming {
    store: ContextStore,
    id: u64,
    manifest: Arc<Manifest>,
    change: Change,
    done: bool,
}

impl ContextStore {
    /// Opens the store; trees that were half changed when the last daemon ended are removed.
    ///
    /// # Errors
    /// A directory that cannot be made or read.
    pub fn open(root: &Path) -> Result<Self, ContextError> {
        std::fs::create_dir_all(root).map_err(ContextError::io("make", root))?;
        let mut trees = BTreeMap::new();
        for entry in std::fs::read_dir(root).map_err(ContextError::io("list", root))? {
            let path = entry.map_err(ContextError::io("list", root))?.path();
            let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u64>().ok());
            match (id, read_state(&path)) {
                (Some(id), Some(tree)) => drop(trees.insert(id, tree)),
                _ => remove(&path)?,
            }
        }
        let store = Self { inner: Arc::new(Inner { root: root.to_owned(), trees: Mutex::new(trees) }) };
        store.collect(|tree| tree.last_used.elapsed().is_ok_and(|age| age > UNUSED))?;
        Ok(store)
    }

    fn trees(&self) -> MutexGuard<'_, BTreeMap<u64, Tree>> {
        self.inner.trees.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn home(&self, id: u64) -> PathBuf {
        self.inner.root.join(id.to_string())
    }

    /// Begins with what a client's directory holds now; `key` names the directory. Blocks on the disk.
    ///
    /// # Errors
    /// A list that leads out of the tree; a full disk.
    pub fn begin(&self, key: &str, manifest: Manifest) -> Result<Incoming, ContextError> {
        manifest.validate()?;
        let manifest = Arc::new(manifest);
        let complete = !manifest.entries.iter().any(|entry| matches!(entry.kind, EntryKind::File { stamp: 0, .. }));
        let (id, change) = {
            let mut trees = self.trees();
            let same = |tree: &Tree| tree.key == key && !tree.changing && complete && *tree.manifest == *manifest;
            let shared = trees.iter().find(|(_, tree)| same(tree)).map(|(id, _)| *id);
            let free = || trees.iter().find(|(_, tree)| tree.key == key && !tree.changing && tree.users == 0);
            let id = match shared.or_else(|| free().map(|(id, _)| *id)) {
                Some(id) => id,
                None => {
                    let id = trees.keys().next_back().map_or(1, |last| last + 1);
                    let manifest = Arc::default();
                    let key = key.to_owned();
                    let last_used = SystemTime::now();
                    trees.insert(id, Tree { key, manifest, users: 0, changing: false, last_used });
                    id
                }
            };
            let tree = trees.get_mut(&id).expect("the id was found or made above, and the lock is held");
            let change = manifest.change_from(&tree.manifest);
            tree.users += 1;
            tree.changing = !change.is_nothing();
            tree.last_used = SystemTime::now();
            (id, change)
        };
        let incoming = Incoming { store: self.clone(), id, manifest, change, done: false };
        if !incoming.change.is_nothing() {
            let home = self.home(id);
            let root = home.join("tree");
            std::fs::create_dir_all(&root).map_err(ContextError::io("make", &root))?;
            // Without this file the tree is not believed after a crash.
            match std::fs::remove_file(home.join("state")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(ContextError::io("remove", &home)(error));
                }
                _ => {}
            }
            tree::prepare(&root, &incoming.manifest, &incoming.change)?;
        }
        Ok(incoming)
    }

    /// Bytes that trees take which no build uses.
    pub fn reclaimable(&self) -> u64 {
        self.trees().values().filter(|tree| tree.users == 0).map(|tree| tree.manifest.size()).sum()
    }

    /// Removes all trees that no build uses; answers the bytes in their files.
    ///
    /// # Errors
    /// What cannot be removed.
    pub fn prune(&self) -> Result<u64, ContextError> {
        self.collect(|_| true)
    }

    fn collect(&self, unwanted: impl Fn(&Tree) -> bool) -> Result<u64, ContextError> {
        let mut freed = 0;
        let mut trees = self.trees();
        let gone: Vec<u64> =
            trees.iter().filter(|(_, tree)| tree.users == 0 && unwanted(tree)).map(|(id, _)| *id).collect();
        for id in gone {
            remove(&self.home(id))?;
            freed += trees.remove(&id).map_or(0, |tree| tree.manifest.size());
        }
        Ok(freed)
    }

    /// A user less; trees beyond what is worth keeping go.
    fn release(&self, id: u64, broken: bool) {
        let mut trees = self.trees();
        let Some(tree) = trees.get_mut(&id) else { return };
        tree.users = tree.users.saturating_sub(1);
        let key = tree.key.clone();
        if broken {
            trees.remove(&id);
            let _ = remove(&self.home(id));
            return;
        }
        let idle: Vec<u64> =
            trees.iter().filter(|(_, tree)| tree.key == key && tree.users == 0).map(|(id, _)| *id).collect();
        for id in idle.iter().take(idle.len().saturating_sub(SPARES)) {
            trees.remove(id);
            let _ = remove(&self.home(*id));
        }
    }
}

impl Incoming {
    /// Files whose content the store lacks, as indices of the manifest.
    pub fn missing(&self) -> Vec<u32> {
        self.change.files.iter().map(|index| *index as u32).collect()
    }

    /// Takes the files as [`write_files`](super::write_files) writes them. Blocks.
    ///
    /// # Errors
    /// A stream that ends early or brings other files; a full disk. The tree is removed then.
    pub fn receive(mut self, from: &mut impl Read) -> Result<Lease, ContextError> {
        let home = self.store.home(self.id);
        let root = home.join("tree");
        let manifest = Arc::clone(&self.manifest);
        if self.change.is_nothing() {
            return Ok(self.finished(manifest, root));
        }
        let mut kept = (*manifest).clone();
        // More than readers gather, so that large files are not copied on the way.
        let mut buffer = vec![0; 512 << 10];
        for expected in self.change.files.iter().map(|index| *index as u32).chain([u32::MAX]) {
            let mut number = [0; 4];
            let next = || manifest.entries.get(expected as usize).map_or("the end", |entry| &entry.path);
            read(from, &mut number, next)?;
            let index = u32::from_be_bytes(number);
            if index != expected {
                return Err(ContextError::Stream(format!("file {index} came, and {expected} was to come")));
            }
            if index == u32::MAX {
                break;
            }
            let mut length = [0; 8];
            read(from, &mut length, next)?;
            let length = u64::from_be_bytes(length);
            let entry = &mut kept.entries[index as usize];
            tree::write_file(&root, entry, length, from, &mut buffer)?;
            // It changed between being listed and being sent: what came counts, and it is asked for again.
            if let EntryKind::File { size, stamp } = &mut entry.kind
                && *size != length
            {
                (*size, *stamp) = (length, 0);
            }
        }
        tree::finish(&root, &kept, &self.change)?;
        write_state(&home, &self.store, self.id, &kept)?;
        Ok(self.finished(Arc::new(kept), root))
    }

    fn finished(&mut self, manifest: Arc<Manifest>, path: PathBuf) -> Lease {
        self.done = true;
        let mut trees = self.store.trees();
        if let Some(tree) = trees.get_mut(&self.id) {
            if !self.change.is_nothing() {
                tree.manifest = manifest;
                tree.changing = false;
            }
            tree.last_used = SystemTime::now();
        }
        drop(trees);
        let _ = std::fs::create_dir_all(&path);
        Lease { store: self.store.clone(), id: self.id, path }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.done {
            self.store.release(self.id, !self.change.is_nothing());
        }
    }
}

impl Lease {
    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.store.release(self.id, false);
    }
}

/// Reads so much; `next` is what is to come.
fn read<'a>(from: &mut impl Read, into: &mut [u8], next: impl FnOnce() -> &'a str) -> Result<(), ContextError> {
    from.read_exact(into).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => ContextError::Cut(next().to_owned()),
        _ => ContextError::io("receive", Path::new(next()))(error),
    })
}

fn remove(path: &Path) -> Result<(), ContextError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            std::fs::remove_file(path).map_err(ContextError::io("remove", path))
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ContextError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The file beside a tree: a line with the format and the digest of the rest, then key and manifest.
const FORMAT: &str = "hoist-context-1";

fn write_state(home: &Path, store: &ContextStore, id: u64, manifest: &Manifest) -> Result<(), ContextError> {
    let key = store.trees().get(&id).map(|tree| tree.key.clone()).unwrap_or_default();
    let body = serde_json::to_vec(&(key, manifest)).map_err(|error| ContextError::Manifest(error.to_string()))?;
    let mut text = format!("{FORMAT} {}\n", digest(&body)).into_bytes();
    text.extend_from_slice(&body);
    let fresh = home.join("state.new");
    std::fs::write(&fresh, text).map_err(ContextError::io("write", &fresh))?;
    std::fs::rename(&fresh, home.join("state")).map_err(ContextError::io("rename", &fresh))
}

fn read_state(home: &Path) -> Option<Tree> {
    let text = std::fs::read(home.join("state")).ok()?;
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let (head, body) = (text.get(..end)?, text.get(end + 1..)?);
    if head != format!("{FORMAT} {}", digest(body)).as_bytes() {
        return None;
    }
    let (key, manifest): (String, Manifest) = serde_json::from_slice(body).ok()?;
    let last_used = home.join("state").metadata().ok()?.modified().ok()?;
    Some(Tree { key, manifest: Arc::new(manifest), users: 0, changing: false, last_used })
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
