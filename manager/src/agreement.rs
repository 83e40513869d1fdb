//! Which version of the cluster's protocol all go by, and who may take part in it.
//!
//! The managers go by the highest version that all of them speak. Each node's agent tells what its program speaks; when the
//! last manager has been replaced by a newer program the leader raises what the cluster's record says, for ever: from then on
//! the log has what an older program would not understand. Workers may be as old as the oldest that the leader speaks.

use hoist_proto::{
    protocol::Protocol,
    spec::{Cluster, Node, Role},
};
use hoist_store::{Store, StoreError, Tables, Wake};
use tokio_util::sync::CancellationToken;

/// From which version to which a node speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spoken {
    pub(crate) oldest: Protocol,
    pub(crate) newest: Protocol,
}

/// Whether a node's program may take part in a cluster whose leader speaks no more than `leader`.
///
/// # Errors
/// Says which of the two is too old, and what to do.
pub(crate) fn may_take_part(cluster: &Cluster, leader: Protocol, node: Spoken, role: Role) -> Result<(), String> {
    let Spoken { oldest, newest } = node;
    if newest < Protocol::OLDEST {
        return Err(format!(
            "the node speaks no more than version {newest} of the cluster's protocol, and its managers speak {} to {leader}: install a newer hoist on the node",
            Protocol::OLDEST
        ));
    }
    if oldest > leader {
        return Err(format!(
            "the node speaks no less than version {oldest} of the cluster's protocol, and its managers speak {} to {leader}: install a newer hoist on the managers first",
            Protocol::OLDEST
        ));
    }
    if role == Role::Manager { manages(cluster, newest) } else { Ok(()) }
}

/// Whether a node may be a manager.
///
/// # Errors
/// When the managers go by what its program does not speak.
pub(crate) fn may_manage(cluster: &Cluster, node: &Node) -> Result<(), String> {
    manages(cluster, node.description.protocol)
}

fn manages(cluster: &Cluster, newest: Protocol) -> Result<(), String> {
    let agreed = cluster.protocol;
    if newest >= agreed {
        return Ok(());
    }
    Err(format!(
        "the node speaks no more than version {newest} of the cluster's protocol, and the managers have agreed on {agreed}: install a newer hoist on the node before it becomes a manager"
    ))
}

/// What came with a later version than the managers have agreed on is refused.
///
/// # Errors
/// Names the managers that do not speak it yet.
pub(crate) fn require(tables: &Tables, needed: Protocol, what: &str) -> Result<(), String> {
    if tables.protocol() >= needed {
        return Ok(());
    }
    let behind = managers(tables).filter(|node| node.description.protocol < needed).map(|node| {
        let name = &node.description.hostname;
        if name.is_empty() { node.id.to_string() } else { name.clone() }
    });
    let behind: Vec<String> = behind.collect();
    let who = match behind.as_slice() {
        [] => "the managers have not agreed on it yet".to_owned(),
        [one] => format!("manager {one} has an older hoist"),
        several => format!("managers {} have an older hoist", several.join(", ")),
    };
    Err(format!(
        "{what} needs version {needed} of the cluster's protocol, which goes by {} now: {who}",
        tables.protocol()
    ))
}

/// Those that have a vote, or are to have one.
fn managers(tables: &Tables) -> impl Iterator<Item = &Node> {
    let manages = |node: &&Node| node.spec.role == Role::Manager || node.manager || node.raft.is_some();
    tables.nodes().iter().map(|node| &**node).filter(manages)
}

/// What the managers could go by.
fn common(tables: &Tables, leader: Protocol) -> Protocol {
    managers(tables).map(|node| node.description.protocol).fold(leader, Protocol::min)
}

/// Raises the version when the last manager speaks it; runs until cancelled.
pub(crate) async fn run(store: Store, cancel: CancellationToken) -> Result<(), StoreError> {
    let ((), mut watch) = store.watch(|_| ());
    let spoken = store.spoken();
    loop {
        let due = |tables: &Tables| {
            tables
                .cluster()
                .is_some_and(|cluster| cluster.protocol < common(tables, spoken))
                .then(|| common(tables, spoken))
        };
        if store.view(due).is_some() {
            let raised = store.update(|tx| {
                // Somebody may have come meanwhile.
                let Some((cluster, version)) = tx.cluster().cloned().zip(due(tx)) else { return Ok(None) };
                tx.put(Cluster { protocol: version, ..(*cluster).clone() })?;
                Ok::<_, StoreError>(Some(version))
            });
            match crate::patience::wait_for_log(raised.await, "agreement").await? {
                Some(Some(version)) => {
                    tracing::info!("all managers speak version {version} of the cluster's protocol, and go by it")
                }
                Some(None) => {}
                None => continue,
            }
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            wake = watch.next() => if matches!(wake, Wake::Closed) { return Ok(()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    fn spoken(oldest: u32, newest: u32) -> Spoken {
        Spoken { oldest: Protocol::new(oldest), newest: Protocol::new(newest) }
    }

    async fn cluster_of(versions: &[u32]) -> World {
        let world = World::new(u32::try_from(versions.len()).unwrap()).await;
        let versions = versions.to_vec();
        let set = world.store.update(move |tx| {
            let cluster = tx.cluster().unwrap().clone();
            tx.put(Cluster { protocol: Protocol::FIRST, ..(*cluster).clone() })?;
            let ids: Vec<_> = tx.nodes().iter().map(|node| node.id.clone()).collect();
            for (id, version) in ids.iter().zip(versions) {
                tx.modify::<Node>(id, |node| {
                    node.spec.role = Role::Manager;
                    node.description.hostname = format!("v{version}");
                    node.description.protocol = Protocol::new(version);
                })?;
            }
            Ok::<_, StoreError>(())
        });
        set.await.unwrap();
        world
    }

    #[tokio::test]
    async fn the_oldest_manager_says_what_all_go_by() {
        let world = cluster_of(&[2, 1, 2]).await;
        world.store.view(|tables| {
            assert_eq!(common(tables, Protocol::NEWEST), Protocol::FIRST);
            let refusal = require(tables, Protocol::new(2), "a thing").unwrap_err();
            assert_eq!(
                refusal,
                "a thing needs version 2 of the cluster's protocol, which goes by 1 now: manager v1 has an older hoist"
            );
        });
        let cancel = CancellationToken::new();
        let raising = tokio::spawn(run(world.store.clone(), cancel.clone()));
        let old = world.store.view(|tables| {
            tables.nodes().iter().find(|node| node.description.protocol == Protocol::FIRST).map(|node| node.id.clone())
        });
        tokio::task::yield_now().await;
        assert_eq!(world.store.view(Tables::protocol), Protocol::FIRST);
        let update = world.store.update(|tx| {
            tx.modify::<Node>(&old.unwrap(), |node| node.description.protocol = Protocol::new(2))?;
            Ok::<_, StoreError>(())
        });
        update.await.unwrap();
        let ((), mut watch) = world.store.watch(|_| ());
        while world.store.view(Tables::protocol) == Protocol::FIRST {
            watch.next().await;
        }
        cancel.cancel();
        raising.await.unwrap().unwrap();
        assert!(world.store.view(|tables| require(tables, Protocol::new(2), "a thing")).is_ok());
    }

    #[tokio::test]
    async fn what_is_too_old_or_too_new_is_refused_with_what_to_do() {
        let world = cluster_of(&[2]).await;
        let mut cluster = (*world.store.view(|tables| tables.cluster().cloned()).unwrap()).clone();
        let take = |cluster: &Cluster, node, role| may_take_part(cluster, Protocol::NEWEST, node, role);
        assert!(take(&cluster, spoken(1, 1), Role::Manager).is_ok());
        assert!(take(&cluster, spoken(2, 9), Role::Manager).is_ok());
        let old = take(&cluster, spoken(0, 0), Role::Worker).unwrap_err();
        assert!(old.contains("no more than version 0") && old.ends_with("install a newer hoist on the node"), "{old}");
        let new = take(&cluster, spoken(7, 9), Role::Worker).unwrap_err();
        assert!(new.contains("no less than version 7") && new.ends_with("on the managers first"), "{new}");
        cluster.protocol = Protocol::new(2);
        assert!(take(&cluster, spoken(1, 1), Role::Worker).is_ok());
        let manager = take(&cluster, spoken(1, 1), Role::Manager).unwrap_err();
        assert!(manager.contains("the managers have agreed on 2"), "{manager}");
    }
}
