//! Whether a task that ended gets a successor.

use std::time::Duration;

use hoist_proto::{
    clock::Timestamp,
    spec::{Health, RestartCondition, Service, Task, TaskState},
};

/// What becomes of a slot whose task has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stays ended.
    Leave,
    Restart {
        after: Duration,
        cause: String,
    },
}

/// Decides over a task that has ended by itself.
///
/// A compose `restart:` is the engine's own affair: a container that it restarts in place has not
/// ended. Here is `deploy.restart_policy`, and the replacement of unhealthy tasks.
pub(crate) fn verdict(service: &Service, task: &Task) -> Verdict {
    let status = &task.status;
    let unhealthy = status.state == TaskState::Failed && status.health == Health::Unhealthy;
    let Some(policy) = &service.spec.task.restart else {
        return if unhealthy {
            Verdict::Restart { after: Duration::ZERO, cause: "unhealthy".into() }
        } else {
            Verdict::Leave
        };
    };
    let failed = matches!(status.state, TaskState::Failed | TaskState::Rejected | TaskState::Orphaned);
    let wanted = match policy.condition {
        RestartCondition::None => false,
        RestartCondition::OnFailure => failed,
        RestartCondition::Any => true,
    };
    if !wanted || policy.max_attempts.is_some_and(|most| restarts(policy.window, task) >= most) {
        return Verdict::Leave;
    }
    let cause = if unhealthy {
        "unhealthy".to_owned()
    } else {
        match status.exit_code {
            Some(code) => format!("exited ({code})"),
            None => status.error.clone().unwrap_or_else(|| status.state.to_string()),
        }
    };
    Verdict::Restart { after: policy.delay, cause }
}

/// How many restarts count against the slot: a run that lasted longer than the window clears them.
pub(crate) fn restarts(window: Duration, task: &Task) -> u32 {
    let lasted = task.status.at.duration_since(task.meta.created);
    let settled = !window.is_zero() && lasted.try_into().is_ok_and(|lasted: Duration| lasted > window);
    if settled { 0 } else { task.restarts }
}

/// A moment so much later.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
