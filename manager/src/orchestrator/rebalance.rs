//! Tasks move to nodes that have come or come back: on request, or by a service's own policy.

use std::{collections::BTreeMap, time::Duration};

use hoist_proto::{
    id::{NodeId, TaskId},
    spec::{
        Availability, Lifecycle, Node, NodeState, Rebalance, Service, ServiceMode, Task, TaskState, UpdateState,
        UpdateStatus,
    },
};
use hoist_scheduler::{Needs, Snapshot, fits};
use hoist_store::{Store, StoreError, Tables, Tx, Wake};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The digest of a task that is to be made anew elsewhere.
const MOVED: &str = "moved";
/// A node that has come is left alone for so long: others may come with it, and it may go again.
const SETTLE: Duration = Duration::from_secs(10);

/// Moves tasks of services that ask for it whenever a node has come, come back, or may be used again; until cancelled.
pub(crate) async fn run(store: Store, cancel: CancellationToken) -> Result<(), StoreError> {
    let ((), mut watch) = store.watch(|_| ());
    // Nodes may have come while nobody led.
    let mut due = Some(Instant::now() + SETTLE);
    loop {
        let timer = async {
            match due {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            wake = watch.next() => match wake {
                Wake::Closed => return Ok(()),
                Wake::Resync => due = Some(Instant::now() + SETTLE),
                Wake::Commits(commits) => {
                    let mut events = commits.iter().flat_map(|commit| &commit.events);
                    let has_come = events.any(|event| {
                        event.of::<Node>().is_some_and(|(before, after)| {
                            after.is_some_and(|node| is_usable(node)) && !before.is_some_and(|node| is_usable(node))
                        })
                    });
                    if has_come {
                        due = Some(Instant::now() + SETTLE);
                    }
                }
            },
            () = timer => {
                let outcome = by_policy(&store).await;
                due = match crate::patience::wait_for_log(outcome, "rebalancing").await? {
                    Some(false) => None,
                    // Something is in the middle of an update, or the log could not be written.
                    Some(true) | None => Some(Instant::now() + SETTLE),
                };
            }
        }
    }
}

fn is_usable(node: &Node) -> bool {
    node.status.state == NodeState::Ready && node.spec.availability == Availability::Active
}

/// Moves what has to move; says whether a service has to wait for its update.
pub(crate) async fn by_policy(store: &Store) -> Result<bool, StoreError> {
    let asks = |service: &Service| {
        matches!(service.spec.mode, ServiceMode::Replicated { .. })
            && service.spec.lifecycle == Lifecycle::Running
            && Rebalance::of_labels(&service.spec.labels) == Ok(Rebalance::Auto)
    };
    if store.view(|tables| !tables.services().iter().any(|service| asks(service))) {
        return Ok(false);
    }
    store
        .update(|tx| {
            let services: Vec<_> = tx.services().iter().filter(|service| asks(service)).cloned().collect();
            let mut waits = false;
            for service in services {
                if service.update.as_ref().is_some_and(|update| update.completed.is_none()) {
                    waits |= service.update.as_ref().is_some_and(|update| update.state == UpdateState::Updating);
                    continue;
                }
                let moved = rebalance(tx, &service)?;
                if moved > 0 {
                    tracing::info!(service = service.spec.name, moved, "tasks move to nodes that have come");
                }
            }
            Ok(waits)
        })
        .await
}

/// Has tasks of a service replaced as in an update, of which the scheduler then puts the new ones where fewer are;
/// gives how many.
pub(crate) fn rebalance(tx: &mut Tx<'_>, service: &Service) -> Result<usize, StoreError> {
    let moves = surplus(tx, service);
    if moves.is_empty() {
        return Ok(0);
    }
    for id in &moves {
        // Not what the service asks for any more.
        tx.modify::<Task>(id, |task| task.spec_hash = MOVED.into())?;
    }
    let started = tx.now();
    tx.modify::<Service>(&service.id, |service| {
        let message = format!("{} tasks move to other nodes", moves.len());
        service.update = Some(UpdateStatus { state: UpdateState::Updating, started, completed: None, message });
    })?;
    Ok(moves.len())
}

/// Tasks on nodes that have more of the service's than their share, as many as other nodes lack and have room for.
fn surplus(tables: &Tables, service: &Service) -> Vec<TaskId> {
    let probe = tables.tasks_of(&service.id).find(|task| task.desired == TaskState::Running).cloned();
    let Some(probe) = probe else { return Vec::new() };
    let needs = Needs::of(&probe);
    let mut counts: BTreeMap<NodeId, Vec<TaskId>> = tables
        .nodes()
        .iter()
        .filter(|node| node.status.state == NodeState::Ready && fits(&needs, node))
        .map(|node| (node.id.clone(), Vec::new()))
        .collect();
    for task in tables.tasks_of(&service.id).filter(|task| task.desired <= TaskState::Running) {
        if let Some(tasks) = task.node.as_ref().and_then(|node| counts.get_mut(node)) {
            tasks.push(task.id.clone());
        }
    }
    let mut snapshot = Snapshot::of(tables);
    let mut moves = Vec::new();
    loop {
        let fewest = counts.values().map(Vec::len).min();
        let most = counts.iter().max_by_key(|(_, tasks)| tasks.len()).map(|(id, tasks)| (id.clone(), tasks.len()));
        let (Some(few), Some((from, many))) = (fewest, most) else { return moves };
        if many <= few + 1 {
            return moves;
        }
        let Some(task) = counts.get_mut(&from).and_then(Vec::pop) else { return moves };
        // As the scheduler would: where there is no room, nothing is gained.
        snapshot.note_task(&task, None);
        let anew = Task { id: TaskId::random(), node: None, devices: Vec::new(), ..Task::clone(&probe) };
        let to = match snapshot.place(&anew) {
            Ok(placed) if placed.node != from => placed.node,
            _ => return moves,
        };
        // At the end of those that could move on.
        counts.entry(to).or_default().insert(0, task.clone());
        moves.push(task);
    }
}
