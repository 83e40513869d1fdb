//! The loop around `hoist-scheduler`: pending tasks get nodes.

use hoist_proto::spec::{Task, TaskState};
use hoist_scheduler::Snapshot;
use hoist_store::{Store, StoreError, Wake};
use tokio_util::sync::CancellationToken;

/// Runs until cancelled; an error is the store's.
pub(crate) async fn run(store: Store, cancel: CancellationToken) -> Result<(), StoreError> {
    let ((), mut watch) = store.watch(|_| ());
    loop {
        if crate::patience::wait_for_log(pass(&store).await, "scheduler").await?.is_none() {
            continue;
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            wake = watch.next() => if matches!(wake, Wake::Closed) { return Ok(()) },
        }
    }
}

/// Places all pending tasks in one transaction.
pub(crate) async fn pass(store: &Store) -> Result<(), StoreError> {
    if !store.view(|tables| tables.tasks().iter().any(|task| is_pending(task))) {
        return Ok(());
    }
    store
        .update(|tx| {
            let now = tx.now();
            let mut pending: Vec<_> = tx.tasks().iter().filter(|task| is_pending(task)).cloned().collect();
            // First come, first served.
            pending.sort_by_key(|task| (task.meta.created, task.service_name.clone(), task.slot));
            let mut snapshot = Snapshot::of(tx);
            for task in pending {
                match snapshot.place(&task) {
                    Ok(node) => tx.modify::<Task>(&task.id, |task| {
                        task.node = Some(node);
                        task.status.state = TaskState::Assigned;
                        task.status.at = now;
                        task.status.message = "waits for the node's agent".into();
                        task.status.error = None;
                    })?,
                    Err(unsuitable) => {
                        let why = unsuitable.to_string();
                        if task.status.error.as_ref() != Some(&why) {
                            tx.modify::<Task>(&task.id, |task| task.status.error = Some(why))?;
                        }
                    }
                }
            }
            Ok(())
        })
        .await
}

fn is_pending(task: &Task) -> bool {
    task.status.state == TaskState::Pending && task.desired <= TaskState::Running
}
