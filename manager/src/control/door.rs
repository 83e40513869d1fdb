//! The door: every request that clients may make.

use std::{sync::Arc, time::Duration};

use hoist_proto::{id::NodeId, spec::ProjectEvent};
use hoist_store::Store;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::ImageSource;
use crate::Progress;

/// How a request goes, line by line; the last is [`ProjectEvent::Done`] or [`ProjectEvent::Error`].
pub type EventStream = ReceiverStream<ProjectEvent>;

/// How long a manager may be behind the leader before those who ask it are answered all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// What clients may ask. Clones are the same door.
#[derive(Clone)]
pub struct Control {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) progress: Progress,
    /// The node that this is.
    pub(crate) node: NodeId,
    pub(crate) images: Arc<dyn ImageSource>,
    /// Requests go on when the client has gone; they end with the manager.
    pub(crate) requests: TaskTracker,
    pub(crate) cancel: CancellationToken,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    pub(crate) fn new(
        store: Store,
        progress: Progress,
        node: NodeId,
        images: Arc<dyn ImageSource>,
        cancel: CancellationToken,
    ) -> Self {
        let inner = Inner { store, progress, node, images, requests: TaskTracker::new(), cancel };
        Self { inner: Arc::new(inner) }
    }

    /// The log's last write that this manager knows.
    pub fn index(&self) -> u64 {
        self.inner.store.index()
    }

    /// Returns when this manager knows that write of the log, or after a while without it.
    pub async fn caught_up(&self, index: u64) {
        let _ = tokio::time::timeout(PATIENCE, self.inner.store.applied(index)).await;
    }

    /// Waits for the requests that are under way; they are told to end.
    pub(crate) async fn drain(&self) {
        self.inner.requests.close();
        self.inner.requests.wait().await;
    }
}
