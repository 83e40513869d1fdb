//! A task's state in the words that Compose's users know.

use hoist_proto::spec::{Health, Task, TaskState};

/// What is happening to the container.
pub(crate) fn label(task: &Task) -> &'static str {
    let state = task.status.state;
    match task.desired {
        TaskState::Remove => match state {
            TaskState::Remove => "Removed",
            state if state.is_final() => "Removing",
            _ => "Stopping",
        },
        desired if desired > TaskState::Running => match state {
            state if state.is_final() => "Stopped",
            _ => "Stopping",
        },
        desired => match state {
            TaskState::New | TaskState::Pending | TaskState::Assigned | TaskState::Accepted | TaskState::Preparing => {
                "Creating"
            }
            TaskState::Ready if desired == TaskState::Running => "Starting",
            TaskState::Ready => "Created",
            TaskState::Starting => "Starting",
            TaskState::Running if task.status.exit_code.is_some() => "Restarting",
            TaskState::Running => match task.status.health {
                Health::None => "Started",
                Health::Starting => "Waiting",
                Health::Healthy => "Healthy",
                Health::Unhealthy => "Error",
            },
            TaskState::Complete | TaskState::Shutdown => "Exited",
            TaskState::Failed if task.status.exit_code.is_some() && task.status.health != Health::Unhealthy => "Exited",
            TaskState::Failed | TaskState::Rejected | TaskState::Orphaned => "Error",
            TaskState::Remove => "Removed",
        },
    }
}
