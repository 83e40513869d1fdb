//! What is on disk: one `redb` file with sealed entries and a few sealed singletons.
//!
//! All of one `Ready` is one transaction, and its commit is the one moment at which the disk is
//! waited for. After a power cut redb falls back to the last commit that is whole, so that a torn
//! write is as if it had never begun; what is whole but not ours is [`LogError::Damaged`].

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::{Begin, Disk, LogError, seal::Seal};

const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
const SINGLES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("singles");
const HARD_STATE: &str = "hard state";
const CONF_STATE: &str = "conf state";
const IDENTITY: &str = "identity";
const SNAPSHOT: &str = "snapshot";

/// The log's records are few and all of them are held decoded; the pages need not be held as well.
const CACHE_BYTES: usize = 512 << 10;
const FORMAT: u32 = 1;

/// Entries, hard state, membership and the last snapshot, on disk and (but for the snapshot) in memory.
pub struct Log {
    path: PathBuf,
    db: Database,
    seal: Seal,
    pub(crate) identity: Identity,
    /// Entries after `base`, without a gap.
    pub(crate) entries: VecDeque<Entry>,
    /// The size of those after the last snapshot.
    pub(crate) entry_bytes: usize,
    pub(crate) base: Position,
    pub(crate) hard: HardState,
    pub(crate) conf: ConfState,
    pub(crate) snapshot: SnapshotMetadata,
    /// How large the last snapshot is.
    pub(crate) snapshot_bytes: usize,
}

/// An entry's place in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) index: u64,
    pub(crate) term: u64,
}

/// Who this log belongs to, and where it begins.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Identity {
    format: u32,
    /// This manager's raft id.
    pub(crate) id: u64,
    /// The last entry that is no more in `entries`.
    base: Position,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("path", &self.path).field("base", &self.base).finish_non_exhaustive()
    }
}

/// What one durable write contains.
#[derive(Debug, Default)]
pub(crate) struct Write<'a> {
    pub(crate) entries: &'a [Entry],
    pub(crate) hard: Option<&'a HardState>,
    pub(crate) conf: Option<&'a ConfState>,
    pub(crate) snapshot: Option<&'a Snapshot>,
}

impl Log {
    /// Opens the log in `dir`; makes one that begins as `begin` says when there is none.
    #[cfg(test)]
    pub fn open(dir: &Path, begin: Begin) -> Result<Self, LogError> {
        Self::open_with(dir, begin, None)
    }

    /// The same with a key that is not read from its file.
    pub fn open_with(dir: &Path, begin: Begin, key: Option<&[u8; 32]>) -> Result<Self, LogError> {
        fs_err::create_dir_all(dir)?;
        let path = dir.join("log.redb");
        let seal = match key {
            Some(key) => Seal::new(key),
            None => Seal::open(&dir.join("key"), &path)?,
        };
        // redb trusts a page that its checksum covers, and panics on some that it does not.
        let opened =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Self::open_file(path.clone(), seal, begin)));
        let log = opened
            .unwrap_or_else(|_| Err(LogError::Damaged { path, what: "its pages contradict each other".into() }))?;
        crate::seal::sync_parent(&log.path)?;
        Ok(log)
    }

    /// The log on a disk in memory.
    pub(crate) fn on(disk: &Disk, begin: Begin) -> Result<Self, LogError> {
        let path = PathBuf::from("disk");
        let db = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(disk.opened());
        Self::checked(path, db, Seal::new(&[0; 32]), begin)
    }

    fn open_file(path: PathBuf, seal: Seal, begin: Begin) -> Result<Self, LogError> {
        let db = Database::builder().set_cache_size(CACHE_BYTES).create(&path);
        Self::checked(path, db, seal, begin)
    }

    fn checked(
        path: PathBuf,
        opened: Result<Database, redb::DatabaseError>,
        seal: Seal,
        begin: Begin,
    ) -> Result<Self, LogError> {
        let mut db = opened.map_err(|err| database_error(&path, err))?;
        // A file that was closed in order is not checked by redb itself, and disks forget.
        match db.check_integrity() {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(path = %path.display(), "the cluster's log was repaired to its last whole write");
            }
            Err(err) => return Err(database_error(&path, err)),
        }
        Self::over(path, db, seal, begin)
    }

    /// The log in a database that is open.
    fn over(path: PathBuf, db: Database, seal: Seal, begin: Begin) -> Result<Self, LogError> {
        let mut log = Self {
            path,
            db,
            seal,
            identity: Identity { format: FORMAT, id: 1, base: Position::default() },
            entries: VecDeque::new(),
            entry_bytes: 0,
            base: Position::default(),
            hard: HardState::default(),
            conf: ConfState::default(),
            snapshot: SnapshotMetadata::default(),
            snapshot_bytes: 0,
        };
        if !log.load()? {
            log.found(begin)?;
        }
        Ok(log)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the first records.
    fn found(&mut self, begin: Begin) -> Result<(), LogError> {
        let conf = match begin {
            Begin::Alone | Begin::Forced => ConfState::from((vec![self.identity.id], vec![])),
            Begin::Joining(id) => {
                self.identity.id = id;
                ConfState::default()
            }
        };
        let txn = self.begin()?;
        self.put_identity(&txn)?;
        self.put_single(&txn, CONF_STATE, &encode(&conf))?;
        self.put_single(&txn, HARD_STATE, &encode(&self.hard))?;
        self.with(txn.open_table(ENTRIES), "made")?;
        self.commit(txn)?;
        self.conf = conf;
        Ok(())
    }

    /// Reads everything; false when the file is new.
    fn load(&mut self) -> Result<bool, LogError> {
        let txn = self.with(self.db.begin_read(), "read")?;
        let singles = match txn.open_table(SINGLES) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(false),
            Err(err) => return Err(self.io(err.into(), "read")),
        };
        let single = |name: &str| -> Result<Option<Vec<u8>>, LogError> {
            match self.with(singles.get(name), "read")? {
                Some(bytes) => self.unseal(name, bytes.value()).map(Some),
                None => Ok(None),
            }
        };
        let required = |name: &str| single(name)?.ok_or_else(|| self.damaged(format!("it has no {name}")));
        let identity: Identity = serde_json::from_slice(&required(IDENTITY)?)
            .map_err(|err| self.damaged(format!("its {IDENTITY} is malformed: {err}")))?;
        if identity.format != FORMAT {
            return Err(self.damaged(format!("it has format {}, and this program reads {FORMAT}", identity.format)));
        }
        let hard: HardState = self.decode(HARD_STATE, &required(HARD_STATE)?)?;
        let conf: ConfState = self.decode(CONF_STATE, &required(CONF_STATE)?)?;
        let (snapshot, snapshot_bytes) = match single(SNAPSHOT)? {
            Some(bytes) => (self.decode::<Snapshot>(SNAPSHOT, &bytes)?.take_metadata(), bytes.len()),
            None => (SnapshotMetadata::default(), 0),
        };
        let (mut entries, mut entry_bytes) = (VecDeque::new(), 0);
        let table = self.with(txn.open_table(ENTRIES), "read")?;
        for row in self.with(table.iter(), "read")? {
            let (index, bytes) = self.with(row, "read")?;
            let index = index.value();
            let expected = identity.base.index + entries.len() as u64 + 1;
            if index != expected {
                return Err(self.damaged(format!("entry {expected} is missing (the next one is {index})")));
            }
            let place = entry_place(index);
            let entry: Entry = self.decode(&place, &self.unseal(&place, bytes.value())?)?;
            if index > snapshot.index {
                entry_bytes += bytes.value().len();
            }
            entries.push_back(entry);
        }
        let last = identity.base.index + entries.len() as u64;
        if hard.commit < identity.base.index || hard.commit > last {
            return Err(self.damaged(format!(
                "entries up to {} were committed, and it holds those from {} to {last}",
                hard.commit,
                identity.base.index + 1,
            )));
        }
        if snapshot.index < identity.base.index {
            return Err(self.damaged(format!(
                "entries up to {} are gone, and the snapshot holds only those up to {}",
                identity.base.index, snapshot.index
            )));
        }
        drop((table, singles, txn));
        self.base = identity.base;
        self.identity = identity;
        self.hard = hard;
        self.conf = conf;
        self.snapshot = snapshot;
        self.snapshot_bytes = snapshot_bytes;
        self.entries = entries;
        self.entry_bytes = entry_bytes;
        Ok(true)
    }

    /// Makes one `Ready` durable.
    pub(crate) fn write(&mut self, write: &Write<'_>) -> Result<(), LogError> {
        let txn = self.begin()?;
        let mut base = self.base;
        if let Some(snapshot) = write.snapshot {
            // A snapshot from the leader replaces all that was here.
            let metadata = snapshot.get_metadata();
            base = Position { index: metadata.index, term: metadata.term };
            self.remove_entries(&txn, 0, u64::MAX)?;
            self.put_single(&txn, SNAPSHOT, &encode(snapshot))?;
            self.put_single(&txn, CONF_STATE, &encode(metadata.get_conf_state()))?;
            self.identity.base = base;
            self.put_identity(&txn)?;
        }
        let mut sizes = 0;
        if let Some(first) = write.entries.first() {
            self.remove_entries(&txn, first.index, u64::MAX)?;
            let mut table = self.with(txn.open_table(ENTRIES), "written")?;
            for entry in write.entries {
                let sealed = self.seal.seal(&entry_place(entry.index), &encode(entry));
                sizes += sealed.len();
                self.with(table.insert(entry.index, sealed.as_slice()), "written")?;
            }
        }
        if let Some(conf) = write.conf {
            self.put_single(&txn, CONF_STATE, &encode(conf))?;
        }
        if let Some(hard) = write.hard {
            self.put_single(&txn, HARD_STATE, &encode(hard))?;
        }
        self.commit(txn)?;

        if let Some(snapshot) = write.snapshot {
            self.snapshot = snapshot.get_metadata().clone();
            self.snapshot_bytes = snapshot.get_data().len();
            self.conf = snapshot.get_metadata().get_conf_state().clone();
            self.base = base;
            self.entries.clear();
            self.entry_bytes = 0;
        }
        if let Some(first) = write.entries.first() {
            let keep = first.index.saturating_sub(self.base.index + 1);
            self.entries.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
            self.entries.extend(write.entries.iter().cloned());
            self.entry_bytes += sizes;
        }
        if let Some(conf) = write.conf {
            self.conf = conf.clone();
        }
        if let Some(hard) = write.hard {
            self.hard = hard.clone();
        }
        Ok(())
    }

    /// Keeps a snapshot of the tables and forgets the entries up to `keep_from`.
    pub(crate) fn compact(&mut self, snapshot: &Snapshot, keep_from: Position) -> Result<(), LogError> {
        let txn = self.begin()?;
        self.put_single(&txn, SNAPSHOT, &encode(snapshot))?;
        // The hard state's commit is written lazily; it must not fall behind what is compacted.
        self.put_single(&txn, HARD_STATE, &encode(&self.hard))?;
        self.identity.base = keep_from;
        self.put_identity(&txn)?;
        self.remove_entries(&txn, 0, keep_from.index)?;
        self.commit(txn)?;
        let gone = usize::try_from(keep_from.index - self.base.index).unwrap_or(usize::MAX);
        self.entries.drain(..gone.min(self.entries.len()));
        let last = snapshot.get_metadata().index;
        self.entry_bytes = self.entries.iter().filter(|entry| entry.index > last).map(|entry| entry.data.len()).sum();
        self.base = keep_from;
        self.snapshot = snapshot.get_metadata().clone();
        self.snapshot_bytes = snapshot.get_data().len();
        Ok(())
    }

    /// The last snapshot, from the disk; empty when there has been none.
    pub(crate) fn read_snapshot(&self) -> Result<Snapshot, LogError> {
        let txn = self.with(self.db.begin_read(), "read")?;
        let table = self.with(txn.open_table(SINGLES), "read")?;
        match self.with(table.get(SNAPSHOT), "read")? {
            Some(bytes) => self.decode(SNAPSHOT, &self.unseal(SNAPSHOT, bytes.value())?),
            None => Ok(Snapshot::default()),
        }
    }

    fn begin(&self) -> Result<WriteTransaction, LogError> {
        let mut txn = self.with(self.db.begin_write(), "written")?;
        txn.set_durability(Durability::Immediate).map_err(|err| self.io(err.into(), "written"))?;
        Ok(txn)
    }

    fn commit(&self, txn: WriteTransaction) -> Result<(), LogError> {
        self.with(txn.commit(), "written")
    }

    fn put_identity(&self, txn: &WriteTransaction) -> Result<(), LogError> {
        let bytes = serde_json::to_vec(&self.identity).expect("four numbers are valid JSON");
        self.put_single(txn, IDENTITY, &bytes)
    }

    fn put_single(&self, txn: &WriteTransaction, name: &str, record: &[u8]) -> Result<(), LogError> {
        let mut table = self.with(txn.open_table(SINGLES), "written")?;
        self.with(table.insert(name, self.seal.seal(name, record).as_slice()), "written")?;
        Ok(())
    }

    /// Removes the entries from `first` to `last`, both included.
    fn remove_entries(&self, txn: &WriteTransaction, first: u64, last: u64) -> Result<(), LogError> {
        let known = self.entries.front().zip(self.entries.back()).map(|(a, b)| (a.index, b.index));
        if known.is_none_or(|(front, back)| last < front || first > back) {
            return Ok(());
        }
        let mut table = self.with(txn.open_table(ENTRIES), "written")?;
        self.with(table.retain_in(first..=last, |_, _| false), "written")
    }

    fn unseal(&self, place: &str, bytes: &[u8]) -> Result<Vec<u8>, LogError> {
        self.seal
            .unseal(place, bytes)
            .map_err(|_| self.damaged(format!("its {place} does not open with the key beside it")))
    }

    fn decode<T: protobuf::Message>(&self, what: &str, bytes: &[u8]) -> Result<T, LogError> {
        T::parse_from_bytes(bytes).map_err(|err| self.damaged(format!("its {what} is malformed: {err}")))
    }

    fn damaged(&self, what: String) -> LogError {
        LogError::Damaged { path: self.path.clone(), what }
    }

    fn with<T, E: Into<redb::Error>>(&self, result: Result<T, E>, doing: &'static str) -> Result<T, LogError> {
        result.map_err(|err| self.io(err.into(), doing))
    }

    fn io(&self, err: redb::Error, doing: &'static str) -> LogError {
        redb_error(&self.path, err, doing)
    }
}

fn redb_error(path: &Path, err: redb::Error, doing: &'static str) -> LogError {
    match err {
        redb::Error::Corrupted(what) => LogError::Damaged { path: path.to_owned(), what },
        redb::Error::RepairAborted => {
            LogError::Damaged { path: path.to_owned(), what: "its repair was given up".into() }
        }
        redb::Error::DatabaseAlreadyOpen => LogError::InUse { path: path.to_owned() },
        // A file cut in the middle of its header ends too early to be a database.
        redb::Error::Io(err)
            if matches!(err.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof) =>
        {
            LogError::Damaged { path: path.to_owned(), what: err.to_string() }
        }
        other => LogError::Io { path: path.to_owned(), doing, source: Box::new(other) },
    }
}

fn database_error(path: &Path, err: redb::DatabaseError) -> LogError {
    redb_error(path, err.into(), "opened")
}

fn entry_place(index: u64) -> String {
    format!("entry {index}")
}

fn encode(message: &impl protobuf::Message) -> Vec<u8> {
    message.write_to_bytes().expect("raft's messages have no required fields and memory takes the bytes")
}

#[cfg(test)]
mod tests;
