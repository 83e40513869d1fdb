//! What changed, as it changes.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

use crate::{Object, Record};

/// All that one committed write did.
#[derive(Debug)]
pub struct Commit {
    /// The index of the write.
    pub index: u64,
    pub events: Vec<Event>,
}

/// One record made, changed or removed.
#[derive(Debug, Clone)]
pub struct Event {
    /// As it was; `None` when it is new.
    pub before: Option<Object>,
    /// As it is; `None` when it is gone.
    pub after: Option<Object>,
}

impl Event {
    /// The record before and after, when it is of kind `T`.
    #[expect(clippy::type_complexity, reason = "a pair of maybe-records says more than a name for it would")]
    pub fn of<T: Record>(&self) -> Option<(Option<&Arc<T>>, Option<&Arc<T>>)> {
        let before = self.before.as_ref().map(|object| T::unwrap(object));
        let after = self.after.as_ref().map(|object| T::unwrap(object));
        match (before.flatten(), after.flatten()) {
            (None, None) => None,
            both => Some(both),
        }
    }
}

/// Why a watcher woke.
#[derive(Debug, Clone)]
pub enum Wake {
    /// These writes were committed since the last time, in order.
    Commits(Vec<Arc<Commit>>),
    /// More happened than was kept, or the tables were replaced: look at everything again.
    Resync,
    /// The store is gone.
    Closed,
}

/// The stream of commits that follows a snapshot.
#[derive(Debug)]
pub struct Watch {
    receiver: broadcast::Receiver<Option<Arc<Commit>>>,
}

impl Watch {
    pub(crate) fn new(receiver: broadcast::Receiver<Option<Arc<Commit>>>) -> Self {
        Self { receiver }
    }

    /// Waits for something to happen, and gives all that has happened by then.
    ///
    /// Cancel-safe: what was not returned is returned by the next call.
    pub async fn next(&mut self) -> Wake {
        let mut commits = Vec::new();
        match self.receiver.recv().await {
            Ok(Some(commit)) => commits.push(commit),
            Ok(None) | Err(RecvError::Lagged(_)) => return self.resync(),
            Err(RecvError::Closed) => return Wake::Closed,
        }
        loop {
            match self.receiver.try_recv() {
                Ok(Some(commit)) => commits.push(commit),
                Ok(None) | Err(TryRecvError::Lagged(_)) => return self.resync(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Wake::Commits(commits),
            }
        }
    }

    /// Skips what is waiting: whoever looks at everything sees its effect.
    fn resync(&mut self) -> Wake {
        loop {
            match self.receiver.try_recv() {
                Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Wake::Resync,
            }
        }
    }
}
