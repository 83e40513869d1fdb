//! The store itself: two copies of the tables and the order in which they change.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use hoist_proto::clock::SharedClock;
use tokio::sync::broadcast;

use crate::{
    Change, Commit, DecodeError, Kind, ProposeError, Proposer, StoreError, Tables, Tx, Watch, snapshot::decode_snapshot,
};

/// How many commits a slow watcher may fall behind before it has to look at everything again.
const BACKLOG: usize = 1024;

/// The replicated tables. Cheap to clone: all clones are the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    clock: SharedClock,
    proposer: OnceLock<Arc<dyn Proposer>>,
    /// What is committed: what readers see.
    committed: RwLock<Committed>,
    /// What the transaction in progress sees; equal to `committed` between transactions but for
    /// what `stale` names.
    working: tokio::sync::Mutex<Tables>,
    /// Records that were committed by others since the last transaction.
    stale: Mutex<Stale>,
    commits: broadcast::Sender<Option<Arc<Commit>>>,
}

#[derive(Default)]
struct Committed {
    tables: Tables,
    index: u64,
}

#[derive(Default)]
struct Stale {
    keys: Vec<(Kind, String)>,
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
        Self {
            inner: Arc::new(Inner {
                clock,
                proposer: OnceLock::new(),
                committed: RwLock::default(),
                working: tokio::sync::Mutex::default(),
                stale: Mutex::default(),
                commits: broadcast::channel(BACKLOG).0,
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

    /// The index of the last write that was applied.
    pub fn index(&self) -> u64 {
        self.read(|committed| committed.index)
    }

    /// Reads what is committed. Keep it short: writes wait meanwhile.
    pub fn view<R>(&self, read: impl FnOnce(&Tables) -> R) -> R {
        self.read(|committed| read(&committed.tables))
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
    /// Transactions run one after the other; when it returns well, `view` shows what was written.
    pub async fn update<R, E: From<StoreError>>(
        &self,
        write: impl FnOnce(&mut Tx<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let proposer = self.inner.proposer.get().ok_or(StoreError::Propose(ProposeError::Stopped))?;
        let mut working = self.inner.working.lock().await;
        let base = self.freshen(&mut working);
        let (outcome, changes) = {
            let mut tx = Tx::new(&mut working, self.inner.clock.now());
            let outcome = write(&mut tx);
            (outcome, tx.into_changes())
        };
        if changes.is_empty() {
            return outcome;
        }
        self.mark(changes.iter().map(Change::key));
        let result = outcome?;
        proposer.propose(base, changes).await.map_err(StoreError::Propose)?;
        Ok(result)
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
        let (tables, index) = decode_snapshot(snapshot)?;
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

    /// Makes the working copy equal to what is committed, and gives the index up to which that is.
    fn freshen(&self, working: &mut Tables) -> u64 {
        self.read(|committed| {
            // Taken under the lock that `apply` and `restore` write under: what is marked later is applied later.
            let stale = std::mem::take(&mut *self.inner.stale.lock().unwrap_or_else(PoisonError::into_inner));
            if stale.everything {
                *working = committed.tables.clone();
                return committed.index;
            }
            for (kind, id) in stale.keys {
                working.copy_from(&committed.tables, kind, &id);
            }
            committed.index
        })
    }
}

#[cfg(test)]
mod tests;
