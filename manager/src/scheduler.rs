//! The loop around `hoist-scheduler`: pending tasks get nodes.

use std::collections::BTreeSet;

use hoist_proto::{
    clock::Timestamp,
    id::TaskId,
    spec::{Node, Task, TaskState},
};
use hoist_scheduler::Snapshot;
use hoist_store::{Commit, Store, StoreError, Tables, Tx, Wake};
use tokio_util::sync::CancellationToken;

/// The most tasks of one transaction: more may not fit into one entry of the log.
const BATCH: usize = 2000;

/// What the loop keeps between passes, so that a pass costs what has changed.
#[derive(Debug, Default)]
struct Memory {
    snapshot: Snapshot,
    /// Tasks that wait for a node and have not been looked at since something changed, oldest first.
    fresh: BTreeSet<Waiting>,
    /// Tasks that no node would take; they are tried again when room is freed or a node changes.
    waiting: BTreeSet<Waiting>,
}

/// A task by its age.
type Waiting = (Timestamp, TaskId);

fn by_age(task: &Task) -> Waiting {
    (task.meta.created, task.id.clone())
}

impl Memory {
    fn of(tables: &Tables) -> Self {
        let fresh = tables.tasks().iter().filter(|task| is_pending(task)).map(|task| by_age(task)).collect();
        Self { snapshot: Snapshot::of(tables), fresh, waiting: BTreeSet::new() }
    }

    /// Follows a commit; `false` when the memory has to be made anew.
    fn note(&mut self, commit: &Commit) -> bool {
        let mut roomier = false;
        for event in &commit.events {
            if let Some((before, after)) = event.of::<Task>() {
                let Some(task) = after.or(before) else { continue };
                roomier |= self.snapshot.note_task(&task.id, after.map(|task| &**task));
                let id = by_age(task);
                if after.is_some_and(|task| is_pending(task)) {
                    if !self.waiting.contains(&id) {
                        self.fresh.insert(id);
                    }
                } else {
                    self.fresh.remove(&id);
                    self.waiting.remove(&id);
                }
            } else if let Some((_, after)) = event.of::<Node>() {
                let Some(node) = after else { return false };
                self.snapshot.note_node(node);
                roomier = true;
            }
        }
        if roomier {
            self.fresh.append(&mut self.waiting);
        }
        true
    }
}

/// Runs until cancelled; an error is the store's.
pub(crate) async fn run(store: Store, cancel: CancellationToken) -> Result<(), StoreError> {
    let (mut memory, mut watch) = store.watch(Memory::of);
    loop {
        let outcome = place_fresh(&store, &mut memory).await;
        if crate::patience::wait_for_log(outcome, "scheduler").await?.is_none() {
            // What was taken in the snapshot was not written.
            memory = store.view(Memory::of);
            continue;
        }
        if !memory.fresh.is_empty() && !cancel.is_cancelled() {
            continue;
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            wake = watch.next() => match wake {
                Wake::Commits(commits) => {
                    if !commits.iter().all(|commit| memory.note(commit)) {
                        memory = store.view(Memory::of);
                    }
                }
                Wake::Resync => memory = store.view(Memory::of),
                Wake::Closed => return Ok(()),
            },
        }
    }
}

/// Places all pending tasks in one transaction.
#[cfg(test)]
pub(crate) async fn pass(store: &Store) -> Result<(), StoreError> {
    let mut memory = store.view(Memory::of);
    while !memory.fresh.is_empty() {
        place_fresh(store, &mut memory).await?;
    }
    Ok(())
}

async fn place_fresh(store: &Store, memory: &mut Memory) -> Result<(), StoreError> {
    if memory.fresh.is_empty() {
        return Ok(());
    }
    let mut fresh = std::mem::take(&mut memory.fresh);
    if let Some(first) = fresh.iter().nth(BATCH).cloned() {
        // The rest is for the next transaction.
        memory.fresh = fresh.split_off(&first);
    }
    let (snapshot, waiting) = (&mut memory.snapshot, &mut memory.waiting);
    store
        .update(|tx| {
            let mut pending: Vec<_> = fresh
                .iter()
                .filter_map(|(_, id)| tx.tasks().get(id))
                .filter(|task| is_pending(task))
                .cloned()
                .collect();
            // First come, first served; tasks of a service together, which costs least.
            pending.sort_by(|a, b| {
                (a.meta.created, &a.service_name, a.slot).cmp(&(b.meta.created, &b.service_name, b.slot))
            });
            for task in pending {
                place(tx, snapshot, waiting, &task)?;
            }
            Ok(())
        })
        .await
}

fn place(
    tx: &mut Tx<'_>,
    snapshot: &mut Snapshot,
    waiting: &mut BTreeSet<Waiting>,
    task: &Task,
) -> Result<(), StoreError> {
    let now: Timestamp = tx.now();
    match snapshot.place(task) {
        Ok(placed) => tx.modify::<Task>(&task.id, |task| {
            tracing::debug!(task = task.name, node = %placed.node, devices = placed.devices.len(), "placed");
            task.node = Some(placed.node);
            task.devices = placed.devices;
            task.status.state = TaskState::Assigned;
            task.status.at = now;
            task.status.message = "waits for the node's agent".into();
            task.status.error = None;
        }),
        Err(unsuitable) => {
            waiting.insert(by_age(task));
            let why = unsuitable.to_string();
            if task.status.error.as_ref() == Some(&why) {
                return Ok(());
            }
            tx.modify::<Task>(&task.id, |task| task.status.error = Some(why))
        }
    }
}

fn is_pending(task: &Task) -> bool {
    task.status.state == TaskState::Pending && task.desired <= TaskState::Running
}
