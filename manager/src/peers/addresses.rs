//! Which manager lives where: from the store, and before the store knows from whoever let this one in.

use hoist_proto::wire::ManagerAddress;
use hoist_store::{Store, Tables, Wake};
use tokio_util::sync::CancellationToken;

use super::Peers;

/// All managers that have a place in the log.
pub(crate) fn managers(tables: &Tables) -> Vec<ManagerAddress> {
    tables
        .nodes()
        .iter()
        .filter_map(|node| {
            let raft = node.raft.as_ref().filter(|_| !node.address.is_empty())?;
            Some(ManagerAddress { node_id: node.id.to_string(), raft_id: raft.id, address: node.address.clone() })
        })
        .collect()
}

impl Peers {
    /// Keeps the addresses as the store has them; runs until cancelled.
    pub(crate) async fn follow(self, store: Store, cancel: CancellationToken) {
        let (mut now, mut watch) = store.watch(managers);
        loop {
            self.learn(now);
            tokio::select! {
                () = cancel.cancelled() => return,
                wake = watch.next() => if matches!(wake, Wake::Closed) { return },
            }
            now = store.view(managers);
        }
    }
}
