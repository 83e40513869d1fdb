//! What became of tasks, in batches: one transaction for each.

use hoist_proto::{
    id::{NodeId, TaskId},
    spec::{Task, TaskState, TaskStatus},
    wire::TaskStatusUpdate,
};
use hoist_store::{Store, StoreError};
use tonic::Status;

pub(crate) fn decode(updates: Vec<TaskStatusUpdate>) -> Result<Vec<(TaskId, TaskStatus)>, Status> {
    updates
        .into_iter()
        .map(|update| {
            let id = update.task_id.parse().map_err(|err| Status::invalid_argument(format!("{err}")))?;
            let status = serde_json::from_slice(&update.status)
                .map_err(|err| Status::invalid_argument(format!("malformed status of task {id}: {err}")))?;
            Ok((id, status))
        })
        .collect()
}

/// Writes statuses of the node's own tasks.
///
/// A task's state never goes back, but for one case: a container that ended and that somebody started
/// again by hand, while the task is still wanted, runs again.
pub(crate) async fn write(store: &Store, node: &NodeId, updates: Vec<(TaskId, TaskStatus)>) -> Result<(), StoreError> {
    store
        .update(|tx| {
            for (id, status) in updates {
                let Some(task) = tx.get::<Task>(&id) else { continue };
                let again = status.state == TaskState::Running && task.desired == TaskState::Running;
                let back = status.state < task.status.state && !again;
                if task.node.as_ref() != Some(node) || back || status == task.status {
                    continue;
                }
                tx.modify::<Task>(&id, |task| task.status = status)?;
            }
            Ok(())
        })
        .await
}
