//! A cluster's state as it was saved, on its way to the machine that begins with it again.

use hoist_link::{Subject, UnlockKey};
use hoist_proto::{
    clock::SharedClock,
    id::NodeId,
    spec::{Cluster, Node, Role},
    wire::Certificate,
};
use hoist_store::{Local, Store, Tx, encode_snapshot};

use crate::{
    ca,
    control::{Control, ControlError, drop_managers_but},
};

/// To what place its key seals it.
const PLACE: &str = "snapshot";

/// The whole state of a cluster.
pub struct Saved {
    store: Store,
    index: u64,
    cluster: Cluster,
    clock: SharedClock,
}

impl std::fmt::Debug for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saved").field("cluster", &self.cluster.id).finish_non_exhaustive()
    }
}

impl Saved {
    /// Opens what [`Control::save`] gave.
    ///
    /// # Errors
    /// With another key, when it was changed or cut, and when a later program wrote it.
    pub fn open(sealed: &[u8], key: &UnlockKey, clock: SharedClock) -> Result<Self, ControlError> {
        if !UnlockKey::is_locked(sealed) {
            return Err(ControlError::invalid("this is no snapshot of a swarm: hoist swarm snapshot save writes one"));
        }
        let bytes = key.unlock(PLACE, sealed).ok_or_else(|| {
            ControlError::invalid("the snapshot does not open with this key, or was changed since it was saved")
        })?;
        // Nobody else sees it before it is a log's.
        let store = Local::store(clock.clone());
        let index = store.restore(&bytes).map_err(|error| ControlError::invalid(error.to_string()))?;
        let cluster = store.view(|tables| tables.cluster().filter(|cluster| cluster.pki.is_some()).cloned());
        let cluster = cluster.ok_or_else(|| ControlError::invalid("the snapshot has no cluster in it"))?;
        Ok(Self { store, index, cluster: (*cluster).clone(), clock })
    }

    /// A manager's certificate, by the cluster's own root.
    ///
    /// # Errors
    /// When the request is malformed, or the root's key is.
    pub fn issue(&self, node: &NodeId, request: &[u8]) -> Result<Certificate, ControlError> {
        let subject = Subject { node: node.clone(), cluster: self.cluster.id.clone(), role: Role::Manager };
        Ok(ca::issue(&self.cluster, request, &subject, self.clock.now())?)
    }

    /// The tables, for the log of the one manager that the cluster has from now on: those that it had are lost, or
    /// have to join again.
    ///
    /// # Errors
    /// None but those of the store.
    pub async fn into_tables_of(self, manager: Node) -> Result<Vec<u8>, ControlError> {
        let node = manager.id.clone();
        let change = |tx: &mut Tx<'_>| {
            tx.put(manager)?;
            drop_managers_but(tx, &node)
        };
        self.store.update(change).await.map_err(ControlError::from)?;
        Ok(self.store.view(|tables| encode_snapshot(tables, self.index + 1)))
    }
}

impl Control {
    /// The whole state of the cluster, secrets and the root's key among it: nobody reads it without the key.
    ///
    /// # Errors
    /// On a machine that is in no cluster.
    pub async fn save(&self, key: UnlockKey) -> Result<Vec<u8>, ControlError> {
        self.cluster()?.pki.ok_or_else(|| ControlError::Precondition("this node is not part of a swarm".into()))?;
        let store = self.inner.store.clone();
        let (tables, index) = store.view_at(|tables, index| (tables.clone(), index));
        let sealed = tokio::task::spawn_blocking(move || key.lock(PLACE, &encode_snapshot(&tables, index))).await;
        sealed.map_err(|error| ControlError::Precondition(format!("the snapshot cannot be made: {error}")))
    }
}
