//! The store itself: two copies of the tables and the order in which they change.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use hoist_proto::{clock::SharedClock, protocol::Protocol};
use tokio::sync::{Notify, broadcast};

use crate::{
    Change, Commit, DecodeError, Kind, ProposeError, Proposer, StoreError, Tables, Tx, Watch,
    batch::{Batch, InFlight},
    snapshot::decode_snapshot,
    tx::Key,
};

/// How many commits a slow watcher may fall behind before it has to look at everything again.
const BACKLOG: usize = 1024;
/// The most changes that wait to be proposed together.
const BATCH: usize = 4000;
/// Versions from here on are those of changes that are not committed yet.
const PROVISIONAL: u64 = 1 << 62;

/// The replicated tables. Cheap to clone: all clones are the same store.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    clock: SharedClock,
    /// The newest words that are spoken here.
    spoken: Protocol,
    pub(crate) proposer: OnceLock<Arc<dyn Proposer>>,
    /// What is committed: what readers see.
    committed: RwLock<Committed>,
    pub(crate) working: tokio::sync::Mutex<Working>,
    /// Records that were committed since the last transaction.
    stale: Mutex<Stale>,
    commits: broadcast::Sender<Option<Arc<Commit>>>,
    /// A batch has been taken to be proposed.
    pub(crate) room: Notify,
    pub(crate) done: Mutex<Commits>,
}

/// What a store has committed since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Commits {
    /// Transactions that changed something.
    pub transactions: u64,
    /// Writes of the log that they took.
    pub writes: u64,
    /// How long those took together.
    pub seconds: f64,
}

/// What transactions see: what is committed, and what earlier ones wrote that is on its way there.
#[derive(Default)]
pub(crate) struct Working {
    tables: Tables,
    /// Transactions that wait to be proposed together.
    pub(crate) open: Batch,
    /// Those that are being committed.
    pub(crate) in_flight: Option<InFlight>,
    /// Somebody sees to it that the open batch is proposed.
    pub(crate) committing: bool,
    transactions: u64,
}

impl Working {
    /// Whether it is what is committed.
    fn is_settled(&self) -> bool {
        self.in_flight.is_none() && self.open.is_empty()
    }
}

#[derive(Default)]
struct Committed {
    tables: Tables,
    index: u64,
}

#[derive(Default)]
struct Stale {
    keys: HashSet<Key>,
    everything: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("index", &self.index()).finish_non_exhaustive()
    }
}

impl Store {
    /// Empty tables. Nothing can be written before [`Store::serve`].
    pub fn new(clock: SharedClock) -> Self {
        Self::speaking(clock, Protocol::NEWEST)
    }

    /// The same of a manager that keeps to an earlier version of the cluster's protocol.
    pub fn speaking(clock: SharedClock, spoken: Protocol) -> Self {
        Self {
            inner: Arc::new(Inner {
                clock,
                spoken,
                proposer: OnceLock::new(),
                committed: RwLock::default(),
                working: tokio::sync::Mutex::default(),
                stale: Mutex::default(),
                commits: broadcast::channel(BACKLOG).0,
                room: Notify::new(),
                done: Mutex::default(),
            }),
        }
    }

    /// Says who commits; only the first call counts.
    pub fn serve(&self, proposer: Arc<dyn Proposer>) {
        if self.inner.proposer.set(proposer).is_err() {
            tracing::warn!("the store has a proposer already");
        }
    }

    /// The clock that the store's writes carry.
    pub fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    /// The newest version of the cluster's protocol that this manager speaks.
    pub fn spoken(&self) -> Protocol {
        self.inner.spoken
    }

    /// What was committed through this store.
    pub fn commits(&self) -> Commits {
        *self.inner.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of the last write that was applied.
    pub fn index(&self) -> u64 {
        self.read(|committed| committed.index)
    }

    /// Returns when the write of this index has been applied here.
    pub async fn applied(&self, index: u64) {
        let ((), mut watch) = self.watch(|_| ());
        while self.index() < index {
            // A write that changes no record wakes nobody.
            let _ = tokio::time::timeout(Duration::from_millis(10), watch.next()).await;
        }
    }

    /// Reads what is committed. Keep it short: writes wait meanwhile.
    pub fn view<R>(&self, read: impl FnOnce(&Tables) -> R) -> R {
        self.read(|committed| read(&committed.tables))
    }

    /// The same, with the index of the write that the tables are at.
    pub fn view_at<R>(&self, read: impl FnOnce(&Tables, u64) -> R) -> R {
        self.read(|committed| read(&committed.tables, committed.index))
    }

    /// Reads what is committed, and watches all that is committed after it.
    pub fn watch<R>(&self, read: impl FnOnce(&Tables) -> R) -> (R, Watch) {
        self.read(|committed| {
            // `apply` publishes while it holds the lock for writing, so that nothing falls between.
            let watch = Watch::new(self.inner.commits.subscribe());
            (read(&committed.tables), watch)
        })
    }

    /// Runs a transaction. When `write` fails nothing happens; when it writes nothing, nothing is proposed.
    ///
    /// Transactions run one after the other, and each sees what those before it wrote. Those that come while others
    /// are being committed are proposed together: one write of the log for all of them. When it returns well,
    /// [`Store::view`] shows what was written.
    pub async fn update<R, E: From<StoreError>>(
        &self,
        write: impl FnOnce(&mut Tx<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        if self.inner.proposer.get().is_none() {
            return Err(StoreError::Propose(ProposeError::Stopped).into());
        }
        let mut working = self.with_room().await;
        let base = self.freshen(&mut working);
        working.transactions += 1;
        let version = PROVISIONAL + working.transactions;
        let mut tx = Tx::new(&mut working.tables, self.inner.clock.now(), version);
        let result = write(&mut tx)?;
        let changes = tx.into_changes();
        // Who writes nothing may have seen what is not committed yet, and waits for it.
        if changes.is_empty() && working.is_settled() {
            return Ok(result);
        }
        let committed = working.open.add(base, changes);
        if !std::mem::replace(&mut working.committing, true) {
            tokio::spawn(self.clone().commit());
        }
        drop(working);
        let outcome = committed.await.unwrap_or(Err(ProposeError::Dropped));
        outcome.map_err(StoreError::Propose)?;
        Ok(result)
    }

    /// The working copy, once the open batch has room.
    async fn with_room(&self) -> tokio::sync::MutexGuard<'_, Working> {
        loop {
            let room = self.inner.room.notified();
            tokio::pin!(room);
            // From now on no call is missed.
            room.as_mut().enable();
            let working = self.inner.working.lock().await;
            if working.open.len() < BATCH {
                return working;
            }
            drop(working);
            room.await;
        }
    }

    /// Brings committed changes into the tables and tells the watchers. Called by the proposer, in
    /// the order of the log.
    pub fn apply(&self, index: u64, changes: Vec<Change>) {
        let mut committed = self.inner.committed.write().unwrap_or_else(PoisonError::into_inner);
        self.mark(changes.iter().map(Change::key));
        let events: Vec<_> = changes.into_iter().filter_map(|change| committed.tables.apply(index, change)).collect();
        committed.index = index;
        if events.is_empty() {
            return;
        }
        // No receiver is no error.
        let _ = self.inner.commits.send(Some(Arc::new(Commit { index, events })));
    }

    /// Replaces the tables by those of a snapshot; watchers are told to look at everything again.
    pub fn restore(&self, snapshot: &[u8]) -> Result<u64, DecodeError> {
        let (tables, index) = decode_snapshot(snapshot, self.inner.spoken)?;
        let mut committed = self.inner.committed.write().unwrap_or_else(PoisonError::into_inner);
        *committed = Committed { tables, index };
        self.inner.stale.lock().unwrap_or_else(PoisonError::into_inner).everything = true;
        let _ = self.inner.commits.send(None);
        Ok(index)
    }

    fn read<R>(&self, read: impl FnOnce(&Committed) -> R) -> R {
        read(&self.inner.committed.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn mark<'a>(&self, keys: impl Iterator<Item = (Kind, &'a str)>) {
        let mut stale = self.inner.stale.lock().unwrap_or_else(PoisonError::into_inner);
        if !stale.everything {
            stale.keys.extend(keys.map(|(kind, id)| (kind, id.to_owned())));
        }
    }

    /// Forgets what a batch wrote into the working copy: the next transaction sees what is committed.
    pub(crate) fn forget(&self, keys: HashSet<Key>) {
        self.inner.stale.lock().unwrap_or_else(PoisonError::into_inner).keys.extend(keys);
    }

    /// Makes the working copy equal to what is committed, but for what is on its way; gives the index up to which it
    /// knows the log.
    fn freshen(&self, working: &mut Working) -> u64 {
        self.read(|committed| {
            // Taken under the lock that `apply` and `restore` write under: what is marked later is applied later.
            let mut stale = self.inner.stale.lock().unwrap_or_else(PoisonError::into_inner);
            if working.in_flight.as_ref().is_some_and(|batch| batch.is_applied(&committed.tables)) {
                working.in_flight = None;
            }
            if stale.everything && working.is_settled() {
                *stale = Stale::default();
                working.tables = committed.tables.clone();
                return committed.index;
            }
            let on_its_way = |key: &Key| {
                working.open.has(key) || working.in_flight.as_ref().is_some_and(|batch| batch.keys.contains(key))
            };
            let mut later = HashSet::new();
            for key in stale.keys.drain() {
                if on_its_way(&key) {
                    later.insert(key);
                } else {
                    working.tables.copy_from(&committed.tables, key.0, &key.1);
                }
            }
            stale.keys = later;
            committed.index
        })
    }
}

#[cfg(test)]
mod tests;
