//! New tasks get what the cluster has to give before they can have a node: today, their networks and
//! volumes must be there; tomorrow's overlay addresses and virtual IPs are given out here.

use hoist_proto::spec::{Task, TaskState};
use hoist_store::{Store, StoreError, Tables, Wake};
use tokio_util::sync::CancellationToken;

/// Runs until cancelled; an error is the store's.
pub(crate) async fn run(store: Store, cancel: CancellationToken) -> Result<(), StoreError> {
    let ((), mut watch) = store.watch(|_| ());
    loop {
        if crate::patience::wait_for_log(pass(&store).await, "allocator").await?.is_none() {
            continue;
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            wake = watch.next() => if matches!(wake, Wake::Closed) { return Ok(()) },
        }
    }
}

pub(crate) async fn pass(store: &Store) -> Result<(), StoreError> {
    if !store.view(|tables| tables.tasks().iter().any(|task| is_new(task))) {
        return Ok(());
    }
    store
        .update(|tx| {
            let now = tx.now();
            let new: Vec<_> = tx.tasks().iter().filter(|task| is_new(task)).cloned().collect();
            for task in new {
                let missing = missing(tx, &task);
                if missing.is_some() && task.status.message == missing.as_deref().unwrap_or_default() {
                    continue;
                }
                tx.modify::<Task>(&task.id, |task| {
                    task.status.at = now;
                    match missing {
                        Some(missing) => task.status.message = missing,
                        None => {
                            task.status.state = TaskState::Pending;
                            task.status.message = "waits for a node".into();
                        }
                    }
                })?;
            }
            Ok(())
        })
        .await
}

fn is_new(task: &Task) -> bool {
    task.status.state == TaskState::New && task.desired <= TaskState::Running
}

fn missing(tables: &Tables, task: &Task) -> Option<String> {
    if let Some(id) = task.spec.networks.iter().find(|id| tables.networks().get(id).is_none()) {
        return Some(format!("waits for network {}", id.short()));
    }
    let id = task.spec.volumes.iter().find(|id| tables.volumes().get(id).is_none())?;
    Some(format!("waits for volume {}", id.short()))
}
