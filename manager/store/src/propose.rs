//! How changes get committed.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{Change, ProposeError, Store};

/// A proposal under way; gives the index at which it was committed and applied.
pub type Proposal<'a> = Pin<Box<dyn Future<Output = Result<u64, ProposeError>> + Send + 'a>>;

/// Commits changes. When the proposal's future ends well, [`Store::apply`] has been called with them.
pub trait Proposer: Send + Sync + 'static {
    /// Proposes a list that is committed whole or not at all. `base` is the index up to which the tables knew the log
    /// when the changes were worked out: what was worked out on tables that lack others' committed writes is refused.
    fn propose(&self, base: u64, changes: Vec<Change>) -> Proposal<'_>;
}

/// Commits at once, in memory: for tests and simulations.
#[derive(Debug)]
pub struct Local {
    store: Store,
    index: AtomicU64,
}

impl Local {
    /// A store that commits to itself.
    pub fn store(clock: hoist_proto::clock::SharedClock) -> Store {
        let store = Store::new(clock);
        store.serve(std::sync::Arc::new(Self { store: store.clone(), index: AtomicU64::new(0) }));
        store
    }
}

impl Proposer for Local {
    fn propose(&self, _: u64, changes: Vec<Change>) -> Proposal<'_> {
        let index = self.index.fetch_add(1, Ordering::SeqCst) + 1;
        self.store.apply(index, changes);
        Box::pin(std::future::ready(Ok(index)))
    }
}
