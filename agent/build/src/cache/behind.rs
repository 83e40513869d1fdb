//! Changes on their way to the disk. No build waits for a disk: what is new is known at once, and one thread writes it.
//!
//! Steps also go into a journal beside the database, which is not synced: what was made is not lost with the daemon. After
//! a power cut a half-written line of it is recognised by its digest, and a step is worth what its layers are: those that
//! were not synced are not believed.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::{Database, ReadableDatabase};
use sha2::{Digest, Sha256};

use super::store::{ALIASES, FILES, LAYERS, STEPS, transact};
use crate::{BuildError, graph::hex};

/// A failed write is tried again after this.
const RETRY: Duration = Duration::from_secs(10);

/// New values; `None` stands for what is forgotten.
#[derive(Default)]
pub(super) struct Changes {
    pub steps: HashMap<String, Option<Vec<u8>>>,
    pub aliases: HashMap<String, String>,
    pub layers: HashMap<String, Option<Vec<u8>>>,
    pub files: HashMap<[u8; 56], [u8; 32]>,
}

impl Changes {
    fn is_nothing(&self) -> bool {
        self.steps.is_empty() && self.aliases.is_empty() && self.layers.is_empty() && self.files.is_empty()
    }

    fn write(&self, txn: &redb::WriteTransaction) -> Result<(), redb::Error> {
        for (table, changes) in [(STEPS, &self.steps), (LAYERS, &self.layers)] {
            let mut table = txn.open_table(table)?;
            for (key, value) in changes {
                match value {
                    Some(value) => drop(table.insert(key.as_str(), value.as_slice())?),
                    None => drop(table.remove(key.as_str())?),
                }
            }
        }
        let mut aliases = txn.open_table(ALIASES)?;
        for (definition, key) in &self.aliases {
            aliases.insert(definition.as_str(), key.as_str())?;
        }
        let mut files = txn.open_table(FILES)?;
        for (identity, digest) in &self.files {
            files.insert(identity.as_slice(), digest.as_slice())?;
        }
        Ok(())
    }

    /// What failed to be written waits again, below what came since.
    fn under(&mut self, older: &Self) {
        for (key, value) in &older.steps {
            self.steps.entry(key.clone()).or_insert_with(|| value.clone());
        }
        for (key, value) in &older.layers {
            self.layers.entry(key.clone()).or_insert_with(|| value.clone());
        }
        for (key, value) in &older.aliases {
            self.aliases.entry(key.clone()).or_insert_with(|| value.clone());
        }
        for (key, value) in &older.files {
            self.files.entry(*key).or_insert(*value);
        }
    }
}

/// What readers have to look at before the database.
#[derive(Default)]
pub(super) struct Waiting {
    pub fresh: Changes,
    /// On its way right now.
    pub writing: Arc<Changes>,
    journal: Option<fs_err::File>,
    stop: bool,
    /// Somebody waits for everything to be written.
    urgent: bool,
}

impl Waiting {
    pub(super) fn step(&self, key: &str) -> Option<&Option<Vec<u8>>> {
        self.fresh.steps.get(key).or_else(|| self.writing.steps.get(key))
    }

    pub(super) fn alias(&self, definition: &str) -> Option<&String> {
        self.fresh.aliases.get(definition).or_else(|| self.writing.aliases.get(definition))
    }

    pub(super) fn layer(&self, name: &str) -> Option<&Option<Vec<u8>>> {
        self.fresh.layers.get(name).or_else(|| self.writing.layers.get(name))
    }

    pub(super) fn file(&self, identity: &[u8; 56]) -> Option<&[u8; 32]> {
        self.fresh.files.get(identity).or_else(|| self.writing.files.get(identity))
    }
}

/// The database, and what is not in it yet.
pub(super) struct Behind {
    pub db: Database,
    pub path: PathBuf,
    waiting: Mutex<Waiting>,
    /// Something waits, or all is written.
    changed: Condvar,
    /// Changes are gathered for so long before they are written together.
    gather: Duration,
}

impl Behind {
    pub(super) fn new(db: Database, path: PathBuf, gather: Duration) -> Self {
        Self { db, path, waiting: Mutex::default(), changed: Condvar::new(), gather }
    }

    pub(super) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes changes, which every reader sees from now on.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        let value = change(&mut self.waiting());
        self.changed.notify_all();
        value
    }

    /// Notes a step, also for whoever comes after this daemon.
    pub(super) fn journal(&self, key: &str, record: &[u8]) -> std::io::Result<()> {
        let mut waiting = self.waiting();
        let file = match &mut waiting.journal {
            Some(file) => file,
            none => {
                let path = journal_path(&self.path);
                none.insert(fs_err::OpenOptions::new().append(true).create(true).open(path)?)
            }
        };
        let body = serde_json::to_vec(&(key, String::from_utf8_lossy(record)))?;
        // A line that a full disk left half written ends here: it does not take this one with it.
        let mut line = vec![b'\n'];
        line.extend_from_slice(digest(&body).as_bytes());
        line.push(b' ');
        line.extend_from_slice(&body);
        line.push(b'\n');
        file.write_all(&line)?;
        waiting.fresh.steps.insert(key.to_owned(), Some(record.to_vec()));
        drop(waiting);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits until all that was noted so far is on the disk.
    #[cfg(test)]
    pub(super) fn settle(&self) {
        let mut waiting = self.waiting();
        // What is noted later is nobody's hurry.
        waiting.urgent = !waiting.fresh.is_nothing();
        self.changed.notify_all();
        let busy = |waiting: &mut Waiting| !(waiting.fresh.is_nothing() && waiting.writing.is_nothing());
        drop(self.changed.wait_while(waiting, busy));
    }

    /// Has [`Behind::run`] return once all is written.
    pub(super) fn stop(&self) {
        self.waiting().stop = true;
        self.changed.notify_all();
    }

    /// Writes until it is stopped.
    pub(super) fn run(&self) {
        let mut waiting = self.waiting();
        loop {
            let idle = |waiting: &mut Waiting| waiting.fresh.is_nothing() && !waiting.stop;
            waiting = self.changed.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
            let calm = |waiting: &mut Waiting| !waiting.stop && !waiting.urgent;
            waiting = pause(self.changed.wait_timeout_while(waiting, self.gather, calm));
            waiting.urgent = false;
            if waiting.fresh.is_nothing() {
                return;
            }
            let batch = Arc::new(std::mem::take(&mut waiting.fresh));
            waiting.writing = Arc::clone(&batch);
            // What is noted from here on belongs to the next batch. If the journal of a batch that could not be written
            // is still there, this one is added to it.
            waiting.journal = None;
            let (journal, old) = (journal_path(&self.path), old_journal_path(&self.path));
            let set_aside = old.exists() || !journal.exists() || fs_err::rename(&journal, &old).is_ok();
            drop(waiting);
            let written = transact(&self.db, |txn| batch.write(txn));
            waiting = self.waiting();
            waiting.writing = Arc::default();
            match written {
                Ok(()) if set_aside => drop(fs_err::remove_file(&old)),
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, path = %self.path.display(), "cannot write the build cache");
                    waiting.fresh.under(&batch);
                    if waiting.stop {
                        return;
                    }
                    let patient = |waiting: &mut Waiting| !waiting.stop;
                    waiting = pause(self.changed.wait_timeout_while(waiting, RETRY, patient));
                }
            }
            self.changed.notify_all();
        }
    }

    /// Looks at the database.
    pub(super) fn read<T>(
        &self,
        look: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, BuildError> {
        let work = || -> Result<T, redb::Error> { look(&self.db.begin_read()?) };
        work().map_err(|error| self.error(error))
    }

    pub(super) fn error(&self, error: impl std::fmt::Display) -> BuildError {
        BuildError::Cache { path: self.path.display().to_string(), message: error.to_string() }
    }
}

type Timed<'a> = (MutexGuard<'a, Waiting>, std::sync::WaitTimeoutResult);

fn pause<'a>(waited: Result<Timed<'a>, PoisonError<Timed<'a>>>) -> MutexGuard<'a, Waiting> {
    waited.unwrap_or_else(PoisonError::into_inner).0
}

fn journal_path(db: &Path) -> PathBuf {
    db.with_extension("journal")
}

fn old_journal_path(db: &Path) -> PathBuf {
    db.with_extension("journal.old")
}

/// The steps that a daemon before noted and did not come to write; what is not whole is left out.
pub(super) fn recover(db: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in [old_journal_path(db), journal_path(db)] {
        let bytes = fs_err::read(&path).unwrap_or_default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let Some((head, body)) = line.split_at_checked(64) else { continue };
            let Some(body) = body.strip_prefix(b" ") else { continue };
            if head == digest(body).as_bytes()
                && let Ok(step) = serde_json::from_slice(body)
            {
                found.push(step);
            }
        }
    }
    found
}

/// Takes the journals away, once what was in them is in the database.
pub(super) fn recovered(db: &Path) {
    for path in [old_journal_path(db), journal_path(db)] {
        drop(fs_err::remove_file(&path));
    }
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
