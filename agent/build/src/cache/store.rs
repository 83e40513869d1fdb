//! The database.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use crate::solve::Link;
use crate::tree::FileDigests;
use crate::{BuildError, LayerDigest};

const STEPS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("steps");
const ALIASES: TableDefinition<'_, &str, &str> = TableDefinition::new("aliases");
const LAYERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("layers");
/// Identity of a file (device, inode, size, changes) to the digest of its content.
const FILES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("files");

/// Beyond so many digests of files all are forgotten: it costs a reading.
const FILES_MAX: u64 = 2_000_000;
/// Memory that the database may use.
const MEMORY: usize = 16 << 20;
/// A file that changed so shortly before its reading may change again without a trace in its times.
const RACY: i64 = 2;

/// What is known of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// The layers of its tree above the base image, oldest first.
    pub layers: Vec<String>,
    /// All steps from the base image to this one.
    pub chain: Vec<Link>,
    /// The last of the layers, if this step made it.
    pub own: Option<String>,
    /// The keys of what it was made of.
    pub parents: Vec<String>,
    /// `regular`, `source.local`, `exec.cachemount`.
    pub kind: String,
    pub description: String,
    /// Bytes of its own layer.
    pub size: u64,
    /// Seconds since 1970.
    pub created_at: i64,
    pub last_used_at: i64,
    pub uses: u64,
    /// How long it took, in milliseconds.
    pub took: u64,
}

/// The records of one builder.
pub(crate) struct Cache {
    db: Database,
    path: PathBuf,
    /// Layers that builds work with.
    in_use: Arc<Mutex<HashMap<String, usize>>>,
}

/// Layers that must not be collected while this lives.
pub(crate) struct Lease {
    in_use: Arc<Mutex<HashMap<String, usize>>>,
    layers: Mutex<Vec<String>>,
}

impl Lease {
    pub(crate) fn add(&self, layers: &[String]) {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        for layer in layers {
            *in_use.entry(layer.clone()).or_default() += 1;
        }
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).extend(layers.iter().cloned());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        for layer in self.layers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if let Some(count) = in_use.get_mut(&layer) {
                *count -= 1;
                if *count == 0 {
                    in_use.remove(&layer);
                }
            }
        }
    }
}

pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
}

impl Cache {
    /// Opens the database. One that is damaged is set aside: everything in it can be built again.
    pub(crate) fn open(path: &Path) -> Result<Self, BuildError> {
        let create = || Database::builder().set_cache_size(MEMORY).create(path);
        let db = match create() {
            Ok(db) => db,
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => {
                return Err(BuildError::Cache {
                    path: path.display().to_string(),
                    message: "another daemon uses it".into(),
                });
            }
            Err(error) => {
                let aside = path.with_extension("damaged");
                tracing::warn!(%error, path = %path.display(), "the build cache is damaged and begun anew");
                fs_err::rename(path, &aside).map_err(|error| BuildError::io("set aside", path, error))?;
                create().map_err(|error| BuildError::Cache {
                    path: path.display().to_string(),
                    message: error.to_string(),
                })?
            }
        };
        let cache = Self { db, path: path.to_owned(), in_use: Arc::default() };
        cache.write(true, |txn| {
            txn.open_table(STEPS)?;
            txn.open_table(ALIASES)?;
            txn.open_table(LAYERS)?;
            let files = txn.open_table(FILES)?;
            if files.len()? > FILES_MAX {
                drop(files);
                txn.delete_table(FILES)?;
                txn.open_table(FILES)?;
            }
            Ok(())
        })?;
        Ok(cache)
    }

    fn error(&self, error: impl std::fmt::Display) -> BuildError {
        BuildError::Cache { path: self.path.display().to_string(), message: error.to_string() }
    }

    /// Changes the database; with `durable` all changes so far survive a power cut.
    fn write<T>(
        &self,
        durable: bool,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, BuildError> {
        let work = || -> Result<T, redb::Error> {
            let mut txn = self.db.begin_write()?;
            let durability = if durable { Durability::Immediate } else { Durability::None };
            txn.set_durability(durability)?;
            let value = change(&txn)?;
            txn.commit()?;
            Ok(value)
        };
        work().map_err(|error| self.error(error))
    }

    fn read<T>(&self, look: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>) -> Result<T, BuildError> {
        let work = || -> Result<T, redb::Error> { look(&self.db.begin_read()?) };
        work().map_err(|error| self.error(error))
    }

    /// Everything that happened so far survives.
    pub(crate) fn settle(&self) -> Result<(), BuildError> {
        self.write(true, |_| Ok(()))
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease { in_use: Arc::clone(&self.in_use), layers: Mutex::default() }
    }

    /// What a step's key leads to; its layers are held by the lease before anybody can collect them.
    pub(crate) fn find(&self, key: &str, lease: &Lease) -> Result<Option<Record>, BuildError> {
        let record = self.read(|txn| {
            Ok(txn.open_table(STEPS)?.get(key)?.and_then(|bytes| serde_json::from_slice::<Record>(bytes.value()).ok()))
        })?;
        if let Some(record) = &record {
            lease.add(&record.layers);
            // Collected between the two lines above.
            let still = self.read(|txn| Ok(txn.open_table(STEPS)?.get(key)?.is_some()))?;
            if !still {
                return Ok(None);
            }
        }
        Ok(record)
    }

    /// Writes a step down; it takes the place of what the key led to before.
    pub(crate) fn put(&self, key: &str, record: &Record, durable: bool) -> Result<(), BuildError> {
        let bytes = serde_json::to_vec(record).map_err(|error| self.error(error))?;
        self.write(durable, |txn| {
            txn.open_table(STEPS)?.insert(key, bytes.as_slice())?;
            Ok(())
        })
    }

    /// Counts that steps were of use once more.
    pub(crate) fn used(&self, keys: &[String]) -> Result<(), BuildError> {
        let now = now();
        self.write(false, |txn| {
            let mut steps = txn.open_table(STEPS)?;
            for key in keys {
                let record =
                    steps.get(key.as_str())?.and_then(|bytes| serde_json::from_slice::<Record>(bytes.value()).ok());
                if let Some(mut record) = record {
                    record.uses += 1;
                    record.last_used_at = now;
                    if let Ok(bytes) = serde_json::to_vec(&record) {
                        steps.insert(key.as_str(), bytes.as_slice())?;
                    }
                }
            }
            Ok(())
        })
    }

    /// The key by content that a key by definition had before.
    pub(crate) fn alias(&self, definition: &str) -> Result<Option<String>, BuildError> {
        self.read(|txn| Ok(txn.open_table(ALIASES)?.get(definition)?.map(|key| key.value().to_owned())))
    }

    pub(crate) fn put_alias(&self, definition: &str, key: &str) -> Result<(), BuildError> {
        self.write(false, |txn| {
            txn.open_table(ALIASES)?.insert(definition, key)?;
            Ok(())
        })
    }

    /// What a layer's archive is.
    pub(crate) fn layer(&self, name: &str) -> Result<Option<LayerDigest>, BuildError> {
        self.read(|txn| {
            Ok(txn.open_table(LAYERS)?.get(name)?.and_then(|bytes| serde_json::from_slice(bytes.value()).ok()))
        })
    }

    pub(crate) fn put_layer(&self, name: &str, digest: &LayerDigest) -> Result<(), BuildError> {
        let bytes = serde_json::to_vec(digest).map_err(|error| self.error(error))?;
        self.write(false, |txn| {
            txn.open_table(LAYERS)?.insert(name, bytes.as_slice())?;
            Ok(())
        })
    }

    /// All records by key.
    pub(crate) fn all(&self) -> Result<BTreeMap<String, Record>, BuildError> {
        self.read(|txn| {
            let mut all = BTreeMap::new();
            for entry in txn.open_table(STEPS)?.iter()? {
                let (key, bytes) = entry?;
                if let Ok(record) = serde_json::from_slice(bytes.value()) {
                    all.insert(key.value().to_owned(), record);
                }
            }
            Ok(all)
        })
    }

    /// Forgets records, except those whose layers are in use; returns the keys that are gone.
    pub(crate) fn forget(&self, keys: &[String]) -> Result<Vec<String>, BuildError> {
        // Held throughout: a build that finds a record now must find it gone.
        let in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(true, |txn| {
            let mut steps = txn.open_table(STEPS)?;
            let mut gone = Vec::new();
            for key in keys {
                let record =
                    steps.get(key.as_str())?.and_then(|bytes| serde_json::from_slice::<Record>(bytes.value()).ok());
                if record.is_some_and(|record| record.layers.iter().any(|layer| in_use.contains_key(layer))) {
                    continue;
                }
                if steps.remove(key.as_str())?.is_some() {
                    gone.push(key.clone());
                }
            }
            Ok(gone)
        })
    }

    /// Forgets layers' archives.
    pub(crate) fn forget_layers(&self, names: &[String]) -> Result<(), BuildError> {
        self.write(false, |txn| {
            let mut layers = txn.open_table(LAYERS)?;
            for name in names {
                layers.remove(name.as_str())?;
            }
            Ok(())
        })
    }

    /// Whether a build works with this layer.
    pub(crate) fn is_in_use(&self, layer: &str) -> bool {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner).contains_key(layer)
    }
}

/// A file that is the same file and was not changed has this.
fn identity(stat: &Stat) -> [u8; 56] {
    let mut bytes = [0; 56];
    let parts = [
        stat.st_dev as i64,
        stat.st_ino as i64,
        stat.st_size,
        stat.st_mtime,
        stat.st_mtime_nsec as i64,
        stat.st_ctime,
        stat.st_ctime_nsec as i64,
    ];
    for (to, part) in bytes.chunks_exact_mut(8).zip(parts) {
        to.copy_from_slice(&part.to_le_bytes());
    }
    bytes
}

/// Digests by the files' identities, from the database: looked up in one transaction for a whole context.
pub(crate) struct Files<'a> {
    cache: &'a Cache,
    table: Option<redb::ReadOnlyTable<&'static [u8], &'static [u8]>>,
}

impl Cache {
    pub(crate) fn files(&self) -> Files<'_> {
        let table = self.db.begin_read().ok().and_then(|txn| txn.open_table(FILES).ok());
        Files { cache: self, table }
    }
}

impl FileDigests for Files<'_> {
    fn get(&self, stat: &Stat) -> Option<[u8; 32]> {
        self.table.as_ref()?.get(identity(stat).as_slice()).ok()??.value().try_into().ok()
    }

    fn put(&self, read: Vec<(Stat, [u8; 32])>) {
        let settled = now() - RACY;
        let result = self.cache.write(false, |txn| {
            let mut files = txn.open_table(FILES)?;
            for (stat, digest) in &read {
                if stat.st_ctime < settled && stat.st_mtime < settled {
                    files.insert(identity(stat).as_slice(), digest.as_slice())?;
                }
            }
            Ok(())
        });
        if let Err(error) = result {
            tracing::warn!(error = %error, "cannot remember the digests of files");
        }
    }
}
