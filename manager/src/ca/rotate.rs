//! From one root to the next, while everything runs.
//!
//! The next root is vouched for by the one before it, and both are believed. Nodes are asked to renew; when all
//! that answer have certificates of the next, it is the only one.

use hoist_link::Authority;
use hoist_proto::{
    clock::Timestamp,
    spec::{Cluster, NodeState, Pki, Rotation},
};
use hoist_store::{Store, StoreError, Tables, Wake};
use tokio_util::sync::CancellationToken;

use super::{PkiError, pki::signing_key};

/// Begins to replace the root by `next`, or by a new one. A rotation that is under way begins anew.
pub(crate) fn start(pki: &mut Pki, next: Option<(&str, &str)>, now: Timestamp) -> Result<(), PkiError> {
    let before = Authority::from_pem(&pki.root, &pki.key)?;
    let next = match next {
        Some((certificate, key)) => Authority::from_pem(certificate, key)?,
        None => Authority::generate(now)?,
    };
    let vouched = before.vouch_for(&next, now)?;
    pki.rotation = Some(Rotation { root: next.trust().pem().to_owned(), key: next.key_pem(), vouched });
    Ok(())
}

/// Ends rotations when all nodes have come along; runs until cancelled.
pub(crate) async fn run(store: Store, cancel: CancellationToken) -> Result<(), StoreError> {
    let ((), mut watch) = store.watch(|_| ());
    loop {
        if store.view(|tables| tables.cluster().is_some_and(|cluster| is_done(tables, cluster))) {
            let ended = store
                .update(|tx| {
                    let Some(cluster) = tx.cluster().cloned().filter(|cluster| is_done(tx, cluster)) else {
                        return Ok(());
                    };
                    tx.modify::<Cluster>(&cluster.id, |cluster| {
                        if let Some(pki) = &mut cluster.pki
                            && let Some(rotation) = pki.rotation.take()
                        {
                            (pki.root, pki.key) = (rotation.root, rotation.key);
                        }
                    })
                })
                .await;
            if crate::patience::wait_for_log(ended, "root's rotation").await?.is_none() {
                continue;
            }
            tracing::info!("all nodes have certificates of the new root");
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            wake = watch.next() => if matches!(wake, Wake::Closed) { return Ok(()) },
        }
    }
}

/// Whether every node that is there has a certificate of the root that takes over.
fn is_done(tables: &Tables, cluster: &Cluster) -> bool {
    let Some(pki) = cluster.pki.as_ref().filter(|pki| pki.rotation.is_some()) else { return false };
    let Ok(key) = signing_key(pki) else { return false };
    tables
        .nodes()
        .iter()
        .filter(|node| node.status.state != NodeState::Down)
        .all(|node| node.description.tls.as_ref().is_some_and(|tls| tls.issuer_key == key))
}
