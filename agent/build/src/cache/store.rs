//! The database.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use super::behind::{self, Behind, Waiting};
use crate::solve::Link;
use crate::tree::FileDigests;
use crate::{BuildError, LayerDigest};

pub(super) const STEPS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("steps");
pub(super) const ALIASES: TableDefinition<'_, &str, &str> = TableDefinition::new("aliases");
pub(super) const LAYERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("layers");
/// Identity of a file (device, inode, size, changes) to the digest of its content.
pub(super) const FILES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("files");

/// Beyond so many digests of files all are forgotten: it costs a reading.
const FILES_MAX: u64 = 2_000_000;
/// Memory that the database may use.
const MEMORY: usize = 16 << 20;
/// A file that changed so shortly before its reading may change again without a trace in its times.
const RACY: i64 = 2;
/// Changes of so long a time are written together.
const GATHER: Duration = Duration::from_secs(1);

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
    behind: Arc<Behind>,
    writer: Option<JoinHandle<()>>,
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

/// Changes the database; the change survives a power cut.
pub(super) fn transact<T>(
    db: &Database,
    change: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
) -> Result<T, redb::Error> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    let value = change(&txn)?;
    txn.commit()?;
    Ok(value)
}

/// Opens or makes the database with all its tables, and puts in what a daemon before only noted.
fn begin(path: &Path) -> Result<Database, redb::Error> {
    let db = Database::builder().set_cache_size(MEMORY).create(path)?;
    let noted = behind::recover(path);
    transact(&db, |txn| {
        let mut steps = txn.open_table(STEPS)?;
        for (key, record) in &noted {
            steps.insert(key.as_str(), record.as_bytes())?;
        }
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
    Ok(db)
}

fn is_in_use(error: &redb::Error) -> bool {
    matches!(error, redb::Error::DatabaseAlreadyOpen)
}

impl Cache {
    /// Opens the database. One that is damaged is set aside: everything in it can be built again.
    pub(crate) fn open(path: &Path) -> Result<Self, BuildError> {
        Self::open_with(path, GATHER)
    }

    fn open_with(path: &Path, gather: Duration) -> Result<Self, BuildError> {
        let failed = |error: String| BuildError::Cache { path: path.display().to_string(), message: error };
        let db = match begin(path) {
            Ok(db) => db,
            Err(error) if is_in_use(&error) => return Err(failed("another daemon uses it".into())),
            Err(error) => {
                let aside = path.with_extension("damaged");
                tracing::warn!(%error, path = %path.display(), "the build cache is damaged and begun anew");
                fs_err::rename(path, &aside).map_err(|error| BuildError::io("set aside", path, error))?;
                begin(path).map_err(|error| failed(error.to_string()))?
            }
        };
        behind::recovered(path);
        let behind = Arc::new(Behind::new(db, path.to_owned(), gather));
        let theirs = Arc::clone(&behind);
        let writer = std::thread::Builder::new().name("build-cache".into()).spawn(move || theirs.run());
        let writer = writer.map_err(|error| failed(format!("cannot start a thread: {error}")))?;
        Ok(Self { behind, writer: Some(writer), in_use: Arc::default() })
    }

    fn error(&self, error: impl std::fmt::Display) -> BuildError {
        self.behind.error(error)
    }

    /// Waits until everything that happened so far would survive a power cut.
    #[cfg(test)]
    pub(crate) fn settle(&self) {
        self.behind.settle();
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease { in_use: Arc::clone(&self.in_use), layers: Mutex::default() }
    }

    /// A step's record as it is now.
    fn step(&self, waiting: &Waiting, key: &str) -> Result<Option<Record>, BuildError> {
        let parse = |bytes: &[u8]| serde_json::from_slice::<Record>(bytes).ok();
        match waiting.step(key) {
            Some(bytes) => Ok(bytes.as_deref().and_then(parse)),
            None => self.behind.read(|txn| Ok(txn.open_table(STEPS)?.get(key)?.and_then(|bytes| parse(bytes.value())))),
        }
    }

    /// What a step's key leads to; its layers are held by the lease before anybody can collect them.
    pub(crate) fn find(&self, key: &str, lease: &Lease) -> Result<Option<Record>, BuildError> {
        let record = self.step(&self.behind.waiting(), key)?;
        if let Some(record) = &record {
            lease.add(&record.layers);
            // Collected between the two lines above.
            if self.step(&self.behind.waiting(), key)?.is_none() {
                return Ok(None);
            }
        }
        Ok(record)
    }

    /// Notes a step; it takes the place of what the key led to before. It is not lost with the daemon.
    pub(crate) fn put(&self, key: &str, record: &Record) -> Result<(), BuildError> {
        let bytes = serde_json::to_vec(record).map_err(|error| self.error(error))?;
        self.behind.journal(key, &bytes).map_err(|error| self.error(error))
    }

    /// Counts that steps were of use once more.
    pub(crate) fn used(&self, keys: &[String]) -> Result<(), BuildError> {
        let now = now();
        self.behind.change(|waiting| {
            for key in keys {
                if let Some(mut record) = self.step(waiting, key)? {
                    record.uses += 1;
                    record.last_used_at = now;
                    if let Ok(bytes) = serde_json::to_vec(&record) {
                        waiting.fresh.steps.insert(key.clone(), Some(bytes));
                    }
                }
            }
            Ok(())
        })
    }

    /// The key by content that a key by definition had before.
    pub(crate) fn alias(&self, definition: &str) -> Result<Option<String>, BuildError> {
        if let Some(key) = self.behind.waiting().alias(definition) {
            return Ok(Some(key.clone()));
        }
        self.behind.read(|txn| Ok(txn.open_table(ALIASES)?.get(definition)?.map(|key| key.value().to_owned())))
    }

    pub(crate) fn put_alias(&self, definition: &str, key: &str) {
        self.behind.change(|waiting| waiting.fresh.aliases.insert(definition.to_owned(), key.to_owned()));
    }

    /// What a layer's archive is.
    pub(crate) fn layer(&self, name: &str) -> Result<Option<LayerDigest>, BuildError> {
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).ok();
        if let Some(bytes) = self.behind.waiting().layer(name) {
            return Ok(bytes.as_deref().and_then(parse));
        }
        self.behind.read(|txn| Ok(txn.open_table(LAYERS)?.get(name)?.and_then(|bytes| parse(bytes.value()))))
    }

    pub(crate) fn put_layer(&self, name: &str, digest: &LayerDigest) -> Result<(), BuildError> {
        let bytes = serde_json::to_vec(digest).map_err(|error| self.error(error))?;
        self.behind.change(|waiting| waiting.fresh.layers.insert(name.to_owned(), Some(bytes)));
        Ok(())
    }

    /// All records by key.
    pub(crate) fn all(&self) -> Result<BTreeMap<String, Record>, BuildError> {
        let waiting = self.behind.waiting();
        let mut all = self.behind.read(|txn| {
            let mut all = BTreeMap::new();
            for entry in txn.open_table(STEPS)?.iter()? {
                let (key, bytes) = entry?;
                if let Ok(record) = serde_json::from_slice(bytes.value()) {
                    all.insert(key.value().to_owned(), record);
                }
            }
            Ok(all)
        })?;
        for (key, bytes) in waiting.writing.steps.iter().chain(&waiting.fresh.steps) {
            match bytes.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok()) {
                Some(record) => drop(all.insert(key.clone(), record)),
                None => drop(all.remove(key)),
            }
        }
        Ok(all)
    }

    /// Forgets records, except those whose layers are in use; returns the keys that are gone.
    pub(crate) fn forget(&self, keys: &[String]) -> Result<Vec<String>, BuildError> {
        // Held throughout: a build that finds a record now must find it gone.
        let in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        self.behind.change(|waiting| {
            let mut gone = Vec::new();
            for key in keys {
                let Some(record) = self.step(waiting, key)? else { continue };
                if !record.layers.iter().any(|layer| in_use.contains_key(layer)) {
                    waiting.fresh.steps.insert(key.clone(), None);
                    gone.push(key.clone());
                }
            }
            Ok(gone)
        })
    }

    /// Forgets layers' archives.
    pub(crate) fn forget_layers(&self, names: &[String]) {
        self.behind.change(|waiting| {
            waiting.fresh.layers.extend(names.iter().map(|name| (name.clone(), None)));
        });
    }

    /// Whether a build works with this layer.
    pub(crate) fn is_in_use(&self, layer: &str) -> bool {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner).contains_key(layer)
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.behind.stop();
        if let Some(writer) = self.writer.take() {
            // A writer that failed has said why.
            let _ = writer.join();
        }
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
        let table = self.behind.db.begin_read().ok().and_then(|txn| txn.open_table(FILES).ok());
        Files { cache: self, table }
    }
}

impl FileDigests for Files<'_> {
    fn get(&self, stat: &Stat) -> Option<[u8; 32]> {
        let identity = identity(stat);
        if let Some(digest) = self.cache.behind.waiting().file(&identity) {
            return Some(*digest);
        }
        self.table.as_ref()?.get(identity.as_slice()).ok()??.value().try_into().ok()
    }

    fn put(&self, read: Vec<(Stat, [u8; 32])>) {
        let settled = now() - RACY;
        let lasting = read.into_iter().filter(|(stat, _)| stat.st_ctime < settled && stat.st_mtime < settled);
        self.cache.behind.change(|waiting| {
            waiting.fresh.files.extend(lasting.map(|(stat, digest)| (identity(&stat), digest)));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(layer: &str) -> Record {
        Record { layers: vec![layer.to_owned()], own: Some(layer.to_owned()), ..Record::default() }
    }

    /// A database as it was when a journal with three steps lay beside it, and that journal.
    fn interrupted(dir: &Path) -> (std::path::PathBuf, Vec<u8>) {
        let (path, later) = (dir.join("cache.redb"), dir.join("later.redb"));
        let cache = Cache::open_with(&path, Duration::from_secs(3600)).unwrap();
        std::fs::copy(&path, &later).unwrap();
        for key in ["one", "two", "three"] {
            cache.put(key, &record(key)).unwrap();
        }
        let journal = std::fs::read(path.with_extension("journal")).unwrap();
        (later, journal)
    }

    fn keys(path: &Path) -> Vec<String> {
        let cache = Cache::open(path).unwrap();
        let all = cache.all().unwrap();
        assert!(all.iter().all(|(key, found)| *found == record(key)), "{all:?}");
        all.into_keys().collect()
    }

    /// A daemon is killed before it wrote anything: the next one finds the steps that were noted.
    #[test]
    fn what_was_noted_is_not_lost_with_the_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let (path, journal) = interrupted(dir.path());
        std::fs::write(path.with_extension("journal"), &journal).unwrap();
        assert_eq!(keys(&path), ["one", "three", "two"]);
        assert!(!path.with_extension("journal").exists());
        assert_eq!(keys(&path), ["one", "three", "two"]);
    }

    /// The power goes: the journal was cut anywhere, or parts of it never came to the disk. Everything whole before that
    /// is found, nothing that is not whole.
    #[test]
    fn a_torn_journal_is_read_up_to_where_it_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        let (path, journal) = interrupted(dir.path());
        let whole: Vec<usize> = ["one", "two", "three"]
            .map(|key| {
                let at = |text: &str| String::from_utf8_lossy(&journal).find(text).unwrap();
                let start = at(&format!("[\"{key}\""));
                start + journal[start..].iter().position(|byte| *byte == b'\n').unwrap()
            })
            .into();
        for cut in 0..=journal.len() {
            let left = &journal[..cut];
            std::fs::write(path.with_extension("journal"), left).unwrap();
            let found: Vec<String> = behind::recover(&path).into_iter().map(|(key, _)| key).collect();
            let wanted: Vec<&str> = ["one", "two", "three"]
                .into_iter()
                .zip(&whole)
                .filter(|(_, end)| **end <= cut)
                .map(|(key, _)| key)
                .collect();
            assert_eq!(found, wanted, "{cut}");
        }
        let middle = usize::midpoint(whole[0], whole[1]);
        for (what, damage) in [
            ("zeros", &(|bytes: &mut Vec<u8>| bytes[middle..].fill(0)) as &dyn Fn(&mut Vec<u8>)),
            ("garbage", &|bytes| bytes[middle..whole[2] - 3].iter_mut().for_each(|byte| *byte ^= 0x55)),
            ("nothing", &|bytes| bytes.truncate(whole[0])),
        ] {
            let mut left = journal.clone();
            damage(&mut left);
            std::fs::write(path.with_extension("journal"), left).unwrap();
            let found: Vec<String> = behind::recover(&path).into_iter().map(|(key, _)| key).collect();
            assert_eq!(found, ["one"], "{what}");
        }
        // What a full disk cut off in a line does not spoil the next.
        let mut full = journal[..whole[1] - 4].to_vec();
        full.extend_from_slice(&journal[whole[1] + 1..]);
        std::fs::write(path.with_extension("journal"), full).unwrap();
        assert_eq!(keys(&path), ["one", "three"]);
    }

    #[test]
    fn what_is_written_is_what_was_known_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.redb");
        let cache = Cache::open_with(&path, Duration::from_secs(3600)).unwrap();
        let known = |cache: &Cache| {
            let keys: Vec<String> = cache.all().unwrap().into_keys().collect();
            let uses = cache.find("used", &cache.lease()).unwrap().map(|record| record.uses);
            (keys, uses, cache.alias("a").unwrap(), cache.layer("kept").unwrap().is_some())
        };
        let digest = LayerDigest { diff_id: "d".into(), archive: 1, files: 1, blobs: BTreeMap::new() };
        for key in ["used", "held", "gone"] {
            cache.put(key, &record(key)).unwrap();
            cache.put_layer(key, &digest).unwrap();
        }
        cache.settle();
        assert!(!path.with_extension("journal").exists() && !path.with_extension("journal.old").exists());
        let lease = cache.lease();
        cache.find("held", &lease).unwrap();
        let all = ["used", "held", "gone"].map(str::to_owned);
        assert_eq!(cache.forget(&all[1..]).unwrap(), ["gone"]);
        cache.put_layer("kept", &digest).unwrap();
        cache.put_alias("a", "b");
        cache.used(&all).unwrap();
        let before = known(&cache);
        assert_eq!(before, (vec!["held".to_owned(), "used".to_owned()], Some(1), Some("b".to_owned()), true));
        drop(lease);
        drop(cache);
        assert_eq!(known(&Cache::open(&path).unwrap()), before);
    }
}
