//! Questions and wishes about the cluster itself.

use hoist_proto::{
    clock::Timestamp,
    id::NodeId,
    spec::{Cluster, ClusterSpec, Node, NodeState, RaftMember, Role},
};
use hoist_store::{StoreError, Tx};

use super::{Control, ControlError};
use crate::ca;

/// The words that let nodes in.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub worker: String,
    pub manager: String,
}

/// What the first manager needs to be one that others can join.
#[derive(Debug, Clone)]
pub struct Opened {
    pub cluster: Cluster,
    pub certificate: hoist_proto::wire::Certificate,
}

/// Takes their places from all managers but one.
pub(crate) fn drop_managers_but(tx: &mut Tx<'_>, node: &NodeId) -> Result<(), StoreError> {
    let now = tx.now();
    let others: Vec<NodeId> = tx
        .nodes()
        .iter()
        .filter(|other| other.id != *node && (other.manager || other.raft.is_some()))
        .map(|other| other.id.clone())
        .collect();
    for other in others {
        tx.modify::<Node>(&other, |other| {
            other.raft = None;
            // Its machine comes back as another node, with the key of its tunnels.
            other.description.tunnel_key = None;
            other.manager = false;
            other.spec.role = Role::Worker;
            other.status.state = NodeState::Down;
            other.status.message = "the cluster was made anew without this manager".into();
            other.status.since = now;
        })?;
    }
    Ok(())
}

impl Control {
    /// The cluster's record.
    ///
    /// # Errors
    /// While a new manager has not been told of it.
    pub fn cluster(&self) -> Result<Cluster, ControlError> {
        let cluster = self.inner.store.view(|tables| tables.cluster().map(|cluster| (**cluster).clone()));
        cluster.ok_or_else(|| ControlError::Precondition("the cluster's record is not here yet".into()))
    }

    /// The join tokens.
    ///
    /// # Errors
    /// When the cluster has none.
    pub fn tokens(&self) -> Result<Tokens, ControlError> {
        let pki = self.cluster()?.pki.ok_or(ca::PkiError::Alone)?;
        Ok(Tokens { worker: ca::token(&pki, Role::Worker)?, manager: ca::token(&pki, Role::Manager)? })
    }

    /// Makes the cluster of one a cluster that others can join, and gives this node its certificate.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub async fn open(
        &self,
        node: &NodeId,
        request: &[u8],
        address: &str,
        change: impl FnOnce(&mut Cluster, &mut Node),
    ) -> Result<Opened, ControlError> {
        let pki = ca::begin(self.inner.store.clock().now())?;
        let cluster = self
            .inner
            .store
            .update(|tx| {
                let mut cluster = tx
                    .cluster()
                    .map(|cluster| (**cluster).clone())
                    .ok_or_else(|| ControlError::Precondition("the cluster has no record".into()))?;
                let mut record = tx
                    .get::<Node>(node)
                    .map(|node| (**node).clone())
                    .ok_or_else(|| ControlError::NoSuchNode(node.to_string()))?;
                cluster.pki = Some(pki);
                record.address = address.to_owned();
                record.status.address = ca::host(address);
                record.spec.role = Role::Manager;
                record.manager = true;
                record.raft = Some(RaftMember { id: 1, reachable: true });
                change(&mut cluster, &mut record);
                tx.put(cluster.clone())?;
                tx.put(record)?;
                Ok::<_, ControlError>(cluster)
            })
            .await?;
        let subject = hoist_link::Subject { node: node.clone(), cluster: cluster.id.clone(), role: Role::Manager };
        let certificate = ca::issue(&cluster, request, &subject, self.inner.store.clock().now())?;
        Ok(Opened { cluster, certificate })
    }

    /// Takes their places from all managers but this one: they are lost, or have to join again.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub async fn drop_other_managers(&self, node: &NodeId) -> Result<(), ControlError> {
        Ok(self.inner.store.update(|tx| drop_managers_but(tx, node)).await?)
    }

    /// Makes the cluster one node alone again, which nobody can join.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub async fn close(&self) -> Result<(), ControlError> {
        Ok(self
            .inner
            .store
            .update(|tx| {
                if let Some(cluster) = tx.cluster().cloned() {
                    tx.modify::<Cluster>(&cluster.id, |cluster| cluster.pki = None)?;
                }
                Ok::<_, StoreError>(())
            })
            .await?)
    }

    /// Changes what is set on the cluster. `version` is the one that the caller has seen.
    ///
    /// # Errors
    /// When somebody else was faster, or a value makes no sense.
    pub async fn update_cluster(
        &self,
        version: Option<u64>,
        change: impl FnOnce(&mut Cluster, Timestamp) -> Result<(), ControlError>,
    ) -> Result<Cluster, ControlError> {
        self.inner
            .store
            .update(|tx| {
                let mut cluster = tx
                    .cluster()
                    .map(|cluster| (**cluster).clone())
                    .ok_or_else(|| ControlError::Precondition("the cluster's record is not here yet".into()))?;
                if version.is_some_and(|version| version != cluster.meta.version) {
                    return Err(ControlError::Conflict("update out of sequence".into()));
                }
                change(&mut cluster, tx.now())?;
                check(&cluster.spec)?;
                tx.put(cluster.clone())?;
                Ok(cluster)
            })
            .await
    }

    /// Begins to replace the root.
    ///
    /// # Errors
    /// When the cluster has none, or the new one is malformed.
    pub async fn rotate_root(&self, next: Option<(String, String)>) -> Result<(), ControlError> {
        self.update_cluster(None, |cluster, now| {
            let pki = cluster.pki.as_mut().ok_or(ca::PkiError::Alone)?;
            let next = next.as_ref().map(|(certificate, key)| (certificate.as_str(), key.as_str()));
            ca::rotate::start(pki, next, now)?;
            cluster.spec.force_rotate += 1;
            Ok(())
        })
        .await
        .map(drop)
    }

    /// The tables, for those who only read.
    pub fn store(&self) -> &hoist_store::Store {
        &self.inner.store
    }
}

/// What nobody should set.
fn check(spec: &ClusterSpec) -> Result<(), ControlError> {
    let wrong = |text: &str| Err(ControlError::Invalid(vec![text.to_owned()]));
    if spec.heartbeat < std::time::Duration::from_millis(100) {
        return wrong("the dispatcher's heartbeat period must be at least 100ms");
    }
    if spec.certificate_life < std::time::Duration::from_secs(60) {
        return wrong("certificates must live for a minute at least");
    }
    Ok(())
}
