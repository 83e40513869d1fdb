//! The one door to images. Each file is one thing that can be done with them.

mod artifact;
mod built;
mod changes;
mod collect;
mod commit;
mod export;
mod fetch;
mod form;
mod gather;
mod index;
mod instructions;
mod layers;
mod load;
mod lookup;
mod names;
mod peers;
mod platforms;
mod pull;
mod push;
mod save;
mod snapshots;
mod types;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;
use tokio::sync::Semaphore;

use crate::config::ImageConfig;
use crate::digest::ImageId;
use crate::error::Error;
use crate::registry::Registries;
use crate::store::{Blobs, Epoch, LayerDirs, Pins, StateFile, sync_file_system};

pub use artifact::{CacheManifest, CachePlace};
pub use built::{BuildLayer, BuildOptions, BuiltLayer, Hold, LayerArchive};
pub use form::{LayerCompression, LayerForm};
pub use index::{Attestation, IndexForm, IndexImage};
pub use peers::{ImagePeer, PeerBlob, PeerManifest};
pub use types::*;

/// The images of one data root. Cheap to clone.
#[derive(Clone)]
pub struct Images {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    pub(crate) blobs: Blobs,
    pub(crate) state: StateFile,
    pub(crate) dirs: Arc<LayerDirs>,
    pub(crate) pins: Pins,
    /// Blobs that are being fetched. Apart from the pins: an uncompressed layer's blob and its chain have one digest.
    pub(crate) transfers: Pins,
    pub(crate) epoch: Epoch,
    pub(crate) registries: Registries,
    pub(crate) downloads: Semaphore,
    pub(crate) uploads: Semaphore,
    pub(crate) unpacks: Arc<Semaphore>,
    /// Held while files are collected, or while an image is being recorded: what is about to be recorded must not go.
    pub(crate) collecting: tokio::sync::RwLock<()>,
    configs: Mutex<HashMap<ImageId, Arc<ImageConfig>>>,
    syncing: tokio::sync::Mutex<()>,
}

/// Runs something that blocks on a thread for such things.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(e) => Err(Error::invalid("a worker thread", e.to_string())),
        },
    }
}

impl Images {
    /// Opens the store below `root` (`blobs/`, `images/`, `snapshots/`), and cleans up what an interrupted pull left.
    pub async fn open(root: &Path, options: Options) -> Result<Images, Error> {
        let root = root.to_owned();
        let images = blocking(move || Images::open_now(root, options)).await?;
        images.drop_damaged().await?;
        images.collect().await?;
        if images.has_unsynced() {
            images.sync_in_background();
        }
        Ok(images)
    }

    fn open_now(root: PathBuf, options: Options) -> Result<Images, Error> {
        let records = root.join("images");
        fs::create_dir_all(&records).map_err(|e| Error::io("create", &records, e))?;
        let blobs = Blobs::open(root.join("blobs"))?;
        let dirs = Arc::new(LayerDirs::open(root.join("snapshots"))?);
        let state = StateFile::open(records.join("state.json"))?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let unpacks = if options.max_unpacks == 0 { processors } else { options.max_unpacks };
        blobs.clean_partials();
        let epoch = Epoch::now(&root)?;
        dirs.distrust_held(&epoch)?;
        Ok(Images {
            inner: Arc::new(Inner {
                epoch,
                blobs,
                state,
                dirs,
                pins: Pins::default(),
                transfers: Pins::default(),
                downloads: Semaphore::new(options.max_downloads.max(1)),
                uploads: Semaphore::new(options.max_uploads.max(1)),
                unpacks: Arc::new(Semaphore::new(unpacks)),
                registries: Registries::new(options),
                collecting: tokio::sync::RwLock::new(()),
                configs: Mutex::new(HashMap::new()),
                syncing: tokio::sync::Mutex::new(()),
                root,
            }),
        })
        .and_then(|images| images.distrust().map(|()| images))
    }

    /// After a start: an image whose configuration is not what its id says is none.
    async fn drop_damaged(&self) -> Result<(), Error> {
        let images = self.clone();
        let damaged = blocking(move || {
            let state = images.inner.state.view();
            let check = |id: &&ImageId| match images.config(id) {
                Ok(_) => false,
                Err(error) => {
                    tracing::warn!(%error, image = %id, "image is damaged and no longer listed");
                    true
                }
            };
            Ok(state.images.keys().filter(check).cloned().collect::<Vec<_>>())
        })
        .await?;
        self.inner
            .state
            .update(|state| {
                state.images.retain(|id, _| !damaged.contains(id));
                Ok(())
            })
            .await
    }

    /// After a start: what the records do not vouch for is no longer believed.
    fn distrust(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let state = inner.state.view();
        let referenced = collect::blobs_of(&state);
        for digest in inner.blobs.list()? {
            if !referenced.contains(&digest) {
                inner.blobs.distrust(&digest);
            }
        }
        Ok(())
    }

    /// Checks credentials against a registry, as `login` does.
    pub async fn check_login(&self, domain: &str, auth: Auth) -> Result<(), Error> {
        self.inner.registries.check(domain, auth).await
    }

    /// Other mirrors of Docker Hub and other insecure registries from now on.
    pub async fn set_registries(&self, mirrors: Vec<String>, insecure: Vec<String>) {
        self.inner.registries.set(mirrors, insecure).await;
    }

    /// All tags that a repository has at its registry.
    pub async fn remote_tags(&self, reference: &crate::Reference, auth: Option<Auth>) -> Result<Vec<String>, Error> {
        self.inner.registries.repository(reference, auth, false).await?.tags().await
    }

    /// What the search of a registry finds; [`Error::NoSearch`] where it has none.
    pub async fn search(&self, domain: &str, words: &str, limit: u32, auth: Option<Auth>) -> Result<Vec<Found>, Error> {
        self.inner.registries.search(domain, words, limit, auth).await
    }

    /// An image's configuration, read once.
    pub(crate) fn config(&self, id: &ImageId) -> Result<Arc<ImageConfig>, Error> {
        let mut configs = self.inner.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = configs.get(id) {
            return Ok(Arc::clone(config));
        }
        let bytes = self.inner.blobs.read(id)?;
        let config: ImageConfig = serde_json::from_slice(&bytes)
            .map_err(|source| Error::Malformed { what: format!("configuration of image {id}"), source })?;
        let config = Arc::new(config);
        configs.insert(id.clone(), Arc::clone(&config));
        Ok(config)
    }

    pub(crate) fn forget_configs(&self, keep: impl Fn(&ImageId) -> bool) {
        self.inner.configs.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| keep(id));
    }

    fn has_unsynced(&self) -> bool {
        let state = self.inner.state.view();
        if self.inner.dirs.any_held_unsynced() {
            return true;
        }
        state.images.values().any(|i| i.unsynced.is_some())
            || state.layers.values().any(|l| l.unsynced.is_some())
            || state.indexes.values().any(|i| i.unsynced.is_some())
    }

    /// Writes new layers to the disk, and records that they are there, while others go on.
    pub(crate) fn sync_in_background(&self) {
        let images = self.clone();
        tokio::spawn(async move {
            if let Err(error) = images.sync().await {
                tracing::warn!(%error, "cannot write new images to the disk");
            }
        });
    }

    /// Waits until everything that is recorded would survive a power cut.
    pub async fn sync(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let _one_at_a_time = inner.syncing.lock().await;
        if !self.has_unsynced() {
            return Ok(());
        }
        let before = inner.state.view();
        let (root, dirs) = (inner.root.clone(), Arc::clone(&inner.dirs));
        blocking(move || {
            let held = dirs.held()?;
            sync_file_system(&root)?;
            dirs.held_synced(&held)
        })
        .await?;
        inner
            .state
            .update(|state| {
                // Only what was recorded before the sync began is surely on the disk.
                for (id, image) in &mut state.images {
                    if before.images.contains_key(id) {
                        image.unsynced = None;
                    }
                }
                for (name, index) in &mut state.indexes {
                    if before.indexes.get(name).is_some_and(|i| i.descriptor == index.descriptor) {
                        index.unsynced = None;
                    }
                }
                for (id, layer) in &mut state.layers {
                    if before.layers.get(id).is_some_and(|l| l.dir == layer.dir) {
                        layer.unsynced = None;
                    }
                }
                Ok(())
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::silent;
    use crate::reference::Reference;

    fn sent<T: Send>(_: T) {}

    /// Servers run these on any of their threads.
    #[allow(dead_code)]
    fn futures_can_be_sent(images: &'static Images, name: &'static Reference) {
        sent(Images::open(Path::new("/"), Options::default()));
        sent(images.pull(name, PullOptions::default(), silent()));
        sent(images.push(name, PushOptions::default(), silent()));
        sent(images.load(tokio::io::empty(), Vec::new(), silent()));
        sent(images.save(&[], &[], tokio::io::sink(), SaveFormat::Docker));
        sent(images.import(tokio::io::empty(), ImportOptions::default()));
        sent(images.commit("", CommitOptions::default()));
        sent(images.export("", tokio::io::sink()));
        sent(images.remove("", RemoveOptions::default()));
        sent(images.prune(PruneOptions::default()));
        sent(images.remote(name, None));
    }
}
