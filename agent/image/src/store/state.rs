//! The records: which images and layers there are, and what they are called.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::durable::{Epoch, write_atomically};
use crate::digest::{Digest, ImageId};
use crate::error::Error;
use crate::manifest::Descriptor;

const VERSION: u32 = 1;

/// Everything that is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    version: u32,
    /// Images by id.
    pub images: BTreeMap<ImageId, ImageRecord>,
    /// Layers by chain id (OCI config.md, "Layer ChainID").
    pub layers: BTreeMap<Digest, LayerRecord>,
    /// Indexes with more here than the image that has the name, by normalised name with tag or digest. One counts only
    /// while its name is its image's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub indexes: BTreeMap<String, IndexRecord>,
}

/// Images for several platforms, of which one has the name here. All images are recorded; those without a name of their
/// own are not listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexRecord {
    /// The index itself.
    pub descriptor: Descriptor,
    /// The image that the name stands for here.
    pub primary: ImageId,
    /// Those of its images that are here.
    pub members: Vec<IndexMember>,
    /// Further blobs that it leads to, those first that others name.
    #[serde(default)]
    pub extra: Vec<Descriptor>,
    /// Recorded before all of it was on the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsynced: Option<Epoch>,
}

/// An image of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexMember {
    pub id: ImageId,
    pub manifest: Descriptor,
    /// Its layers' chain ids, oldest first.
    pub chain: Vec<Digest>,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    /// The manifest that it came with.
    pub manifest: Descriptor,
    /// Its layers' chain ids, oldest first.
    pub chain: Vec<Digest>,
    /// Normalised names with tags.
    #[serde(default)]
    pub names: BTreeSet<String>,
    /// Normalised names with manifest or index digests.
    #[serde(default)]
    pub digests: BTreeSet<String>,
    /// The image that it was committed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ImageId>,
    /// When a name last came to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_tagged: Option<Timestamp>,
    /// Recorded before all of it was on the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsynced: Option<Epoch>,
}

/// A layer that is unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// Its directory's name.
    pub dir: String,
    /// The digest of its uncompressed archive.
    pub diff_id: Digest,
    /// The chain id of the layer below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    /// Bytes in its files.
    pub size: u64,
    /// The blob that it was unpacked from.
    pub blob: Descriptor,
    /// Recorded before all of it was on the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsynced: Option<Epoch>,
}

impl State {
    /// The layers from `top` down to the oldest.
    pub(crate) fn lineage<'s>(&'s self, top: &Digest) -> Option<Vec<(&'s Digest, &'s LayerRecord)>> {
        let mut lineage = Vec::new();
        let mut at = self.layers.get_key_value(top)?;
        loop {
            lineage.push(at);
            match &at.1.parent {
                Some(parent) => at = self.layers.get_key_value(parent)?,
                None => return Some(lineage),
            }
        }
    }

    /// Forgets what cannot be believed: unsynced records of another epoch, and images and layers that lack a layer.
    /// Returns whether anything was.
    pub(crate) fn distrust(
        &mut self,
        epoch: &Epoch,
        dir_exists: impl Fn(&str) -> bool,
        has_blob: impl Fn(&Digest) -> bool,
    ) -> bool {
        let before = (self.images.len(), self.layers.len());
        let current = |unsynced: &Option<Epoch>| unsynced.as_ref().is_none_or(|e| e == epoch);
        self.layers.retain(|_, layer| current(&layer.unsynced) && dir_exists(&layer.dir));
        loop {
            let known: BTreeSet<Digest> = self.layers.keys().cloned().collect();
            self.layers.retain(|_, layer| layer.parent.as_ref().is_none_or(|p| known.contains(p)));
            if self.layers.len() == known.len() {
                break;
            }
        }
        let layers = &self.layers;
        self.images.retain(|id, image| {
            current(&image.unsynced)
                && has_blob(id)
                && has_blob(&image.manifest.digest)
                && image.chain.iter().all(|c| layers.contains_key(c))
        });
        let images = &self.images;
        self.indexes.retain(|name, index| {
            images.get(&index.primary).is_some_and(|i| i.names.contains(name) || i.digests.contains(name))
                && current(&index.unsynced)
                && has_blob(&index.descriptor.digest)
                && index.extra.iter().all(|blob| has_blob(&blob.digest))
                && index.members.iter().all(|member| {
                    images.contains_key(&member.id)
                        && has_blob(&member.manifest.digest)
                        && member.chain.iter().all(|c| layers.contains_key(c))
                })
        });
        before != (self.images.len(), self.layers.len())
    }
}

/// The file that holds the records: the one door for changes.
pub(crate) struct StateFile {
    path: PathBuf,
    current: RwLock<Arc<State>>,
    writer: tokio::sync::Mutex<()>,
    /// Whether the file lacks changes.
    behind: AtomicBool,
}

impl StateFile {
    /// Reads the records, or begins with none.
    pub(crate) fn open(path: PathBuf) -> Result<StateFile, Error> {
        super::durable::remove_temporaries(path.parent().unwrap_or(&path));
        let state = match fs_err::read(&path) {
            Ok(bytes) => {
                let what = || path.display().to_string();
                let mut state: State =
                    serde_json::from_slice(&bytes).map_err(|source| Error::Malformed { what: what(), source })?;
                state.record_members();
                if state.version != VERSION {
                    return Err(Error::invalid(
                        what(),
                        format!("has format version {}, this program knows {VERSION}", state.version),
                    ));
                }
                state
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => State { version: VERSION, ..State::default() },
            Err(e) => return Err(Error::io("read", path, e)),
        };
        Ok(StateFile {
            path,
            current: RwLock::new(Arc::new(state)),
            writer: tokio::sync::Mutex::new(()),
            behind: AtomicBool::new(false),
        })
    }

    /// The records as they are now.
    pub(crate) fn view(&self) -> Arc<State> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the records: all of it is on the disk when this returns, or nothing has changed.
    pub(crate) async fn update<T>(&self, change: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, Error> {
        let _one_at_a_time = self.writer.lock().await;
        let mut state = State::clone(&self.view());
        let value = change(&mut state)?;
        if state != *self.view() || self.behind.load(Ordering::Acquire) {
            let path = self.path.clone();
            let bytes = serde_json::to_vec(&state)
                .map_err(|source| Error::Malformed { what: path.display().to_string(), source })?;
            crate::images::blocking(move || write_atomically(&path, &bytes)).await?;
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
            self.behind.store(false, Ordering::Release);
        }
        Ok(value)
    }

    /// Changes the records without writing them: the next [`StateFile::update`] will. For what is worth nothing until
    /// more of it is recorded, as a layer is without its image.
    pub(crate) async fn update_later(&self, change: impl FnOnce(&mut State)) {
        let _one_at_a_time = self.writer.lock().await;
        let mut state = State::clone(&self.view());
        change(&mut state);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        self.behind.store(true, Ordering::Release);
    }
}
