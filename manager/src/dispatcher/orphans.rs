//! Tasks whose node has been gone for so long that nobody waits for it any more.

use std::{collections::BTreeMap, time::Duration};

use hoist_proto::{
    id::{NodeId, TaskId},
    spec::{Node, NodeState, Task, TaskState},
};
use hoist_store::{Store, StoreError, Tables, Tx};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// So long a node may be gone until what it had is given to others: addresses, ports, devices.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
const LOOK: Duration = Duration::from_secs(60);

/// Gives up what ran on nodes that have been down for a day, as long as this manager leads; until cancelled. It counts
/// by a clock that nobody can set.
pub(crate) async fn run(store: Store, cancel: CancellationToken) -> Result<(), StoreError> {
    let mut down: BTreeMap<NodeId, Instant> = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            () = sleep(LOOK) => {}
        }
        let now = Instant::now();
        let are_down = store.view(|tables| {
            let is_down = |node: &&std::sync::Arc<Node>| node.status.state == NodeState::Down;
            tables.nodes().iter().filter(is_down).map(|node| node.id.clone()).collect::<Vec<_>>()
        });
        down.retain(|id, _| are_down.contains(id));
        for id in are_down {
            down.entry(id).or_insert(now);
        }
        let for_good = |tables: &Tables| {
            let late = down.iter().filter(|(_, since)| now - **since >= PATIENCE).map(|(id, _)| id);
            late.filter(|id| tables.tasks_on(id).any(|task| !task.status.state.is_final())).cloned().collect::<Vec<_>>()
        };
        if store.view(for_good).is_empty() {
            continue;
        }
        let outcome = store
            .update(|tx| {
                for node in for_good(tx) {
                    tracing::warn!(%node, "a node has been down for a day: its tasks are given up");
                    give_up(tx, &node, "its node has been gone for too long")?;
                }
                Ok(())
            })
            .await;
        crate::patience::wait_for_log(outcome, "orphans' loop").await?;
    }
}

/// Nobody will say any more what became of a node's tasks: others take their places, and their addresses.
pub(crate) fn give_up(tx: &mut Tx<'_>, node: &NodeId, why: &str) -> Result<(), StoreError> {
    let now = tx.now();
    let left: Vec<TaskId> =
        tx.tasks_on(node).filter(|task| !task.status.state.is_final()).map(|task| task.id.clone()).collect();
    for task in left {
        tx.modify::<Task>(&task, |task| {
            task.status.state = TaskState::Orphaned;
            task.status.at = now;
            task.status.message = why.to_owned();
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[tokio::test(start_paused = true)]
    async fn tasks_of_a_node_that_is_gone_for_a_day_are_given_up() {
        let world = World::new(2).await;
        world.up("services: {web: {image: web, deploy: {replicas: 2}}}").await;
        world.run().await;
        let cancel = CancellationToken::new();
        let orphans = tokio::spawn(run(world.store.clone(), cancel.clone()));
        let gone = world.store.view(|tables| tables.tasks().iter().find_map(|task| task.node.clone())).unwrap();
        let state = |state| {
            world.store.update(move |tx| {
                let id = gone.clone();
                tx.modify::<Node>(&id, |node| node.status.state = state)
            })
        };
        state.clone()(NodeState::Down).await.map_err(|error: StoreError| error).unwrap();
        world.settle().await;
        let orphaned = || {
            world
                .store
                .view(|tables| tables.tasks().iter().filter(|task| task.status.state == TaskState::Orphaned).count())
        };
        sleep(Duration::from_secs(23 * 3600)).await;
        assert_eq!(orphaned(), 0);
        // A clock that jumps gives nobody up.
        world.clock.advance(Duration::from_secs(48 * 3600));
        sleep(LOOK * 2).await;
        assert_eq!(orphaned(), 0);
        sleep(Duration::from_secs(2 * 3600)).await;
        assert_eq!(orphaned(), 1);
        cancel.cancel();
        orphans.await.unwrap().unwrap();
    }
}
