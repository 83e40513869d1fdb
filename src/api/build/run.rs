//! A build under way.

use std::sync::Arc;

use hoist_build::{BuildError, BuildEvent, BuildResult};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Builds, order::Ordered};
use crate::api::{State, dto::build::BuildFailure};

/// A build under way. Dropped, it is cancelled and cleans up behind the caller's back.
pub struct Run {
    events: UnboundedReceiver<BuildEvent>,
    task: JoinHandle<Result<BuildResult, BuildError>>,
    _cancel: DropGuard,
}

impl Run {
    /// Starts it.
    pub fn start(state: &State, builds: &Builds, ordered: Ordered) -> Self {
        let (sender, events) = unbounded_channel();
        let cancel = state.stop.child_token();
        let token: CancellationToken = cancel.clone();
        let door = Arc::clone(&builds.door);
        let Ordered { request, held, scratch, .. } = ordered;
        let task = state.tasks.spawn(async move {
            let result = door.build(request, sender, token).await;
            // What the build reads and writes stays until it has ended, also when nobody listens any more.
            drop((held, scratch));
            result
        });
        Self { events, task, _cancel: cancel.drop_guard() }
    }

    /// What happens next; `None` when all has been told.
    pub async fn next(&mut self) -> Option<BuildEvent> {
        self.events.recv().await
    }

    /// How it ended.
    ///
    /// # Errors
    /// The build's.
    pub async fn finish(self) -> Result<BuildResult, BuildError> {
        self.task.await.unwrap_or_else(|error| Err(BuildError::Engine(format!("the build stopped: {error}"))))
    }
}

/// An error in parts.
pub fn failure(error: &BuildError) -> BuildFailure {
    let message = error.message();
    match error {
        BuildError::Dockerfile(error) => BuildFailure { message, span: Some(error.span), ..BuildFailure::default() },
        BuildError::Command { file, line, instruction, span, exit_code, last_lines } => BuildFailure {
            message: format!("{file}:{line}: {instruction}: the command ended with exit code {exit_code}"),
            span: Some(*span),
            exit_code: Some(*exit_code),
            last_lines: last_lines.clone(),
        },
        BuildError::Step { span, .. } => BuildFailure { message, span: Some(*span), ..BuildFailure::default() },
        _ => BuildFailure { message, ..BuildFailure::default() },
    }
}
