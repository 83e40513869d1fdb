//! A task that is written down when it stops, and one that goes on from there.

use std::path::{Path, PathBuf};

use hoist_engine::CheckpointOptions;
use hoist_proto::clock::Timestamp;
use hoist_proto::spec::{CheckpointOutcome, Task, TaskCheckpoint, TaskState};

use super::Driver;
use crate::resources::chain;

/// Those of an agent's own that nobody has come back for so long are of no use: their jobs went on elsewhere, or ended.
const KEPT_HOURS: i64 = 7 * 24;

/// Removes old checkpoints from the agent's own directory.
pub(crate) fn forget_old(dir: &Path, now: Timestamp) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let made = entry.metadata().and_then(|meta| meta.modified()).ok();
        let made = made.and_then(|made| Timestamp::try_from(made).ok());
        if made.is_some_and(|made| now.duration_since(made).as_hours() >= KEPT_HOURS)
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "an old checkpoint cannot be removed");
        }
    }
}

impl Driver {
    /// Writes the processes of a task down that is about to stop, if that is wanted. Then they have ended.
    pub(super) async fn write_down(&mut self, task: &Task) {
        let Some(wish) = task.spec.checkpoint.as_ref().filter(|_| task.checkpoint_on_stop) else { return };
        let Some(container) = self.container.as_ref().filter(|_| self.status.state == TaskState::Running) else {
            return;
        };
        if matches!(self.status.checkpoint, Some(CheckpointOutcome::Made | CheckpointOutcome::NotMade(_))) {
            return;
        }
        let options =
            CheckpointOptions { name: wish.name.clone(), dir: Some(self.directory(wish)), leave_running: false };
        let outcome = match self.worker.inner.engine.checkpoint_with_files(&container.id, options).await {
            Ok(()) => CheckpointOutcome::Made,
            Err(error) => CheckpointOutcome::NotMade(chain(&error)),
        };
        let mut status = self.status.clone();
        status.checkpoint = Some(outcome);
        self.set(status);
    }

    /// Has a container that is ready go on from a checkpoint; `false` if it is to start from its beginning.
    pub(super) async fn go_on(&mut self, task: &Task) -> bool {
        let Some((wish, name)) = task.spec.checkpoint.as_ref().and_then(|wish| Some((wish, wish.restore.as_ref()?)))
        else {
            return false;
        };
        if self.status.checkpoint.is_some() {
            return false;
        }
        let Some(container) = &self.container else { return false };
        let (engine, dir) = (self.worker.inner.engine.clone(), self.directory(wish));
        let restored = engine.restore(&container.id, name, Some(&dir)).await;
        let outcome = match &restored {
            Ok(()) => CheckpointOutcome::Restored,
            Err(error) => CheckpointOutcome::NotRestored(chain(error)),
        };
        match restored {
            // What goes on does not come back to where it was.
            Ok(()) => {
                if let Err(error) = engine.remove_checkpoint(&container.id, name, Some(&dir)).await {
                    tracing::warn!(task = %task.id, %error, "a checkpoint that was used cannot be removed");
                }
            }
            // The files of the checkpoint may be in it already.
            Err(_) => self.renew(task).await,
        }
        let mut status = self.status.clone();
        status.checkpoint = Some(outcome);
        self.set(status);
        matches!(self.status.checkpoint, Some(CheckpointOutcome::Restored))
    }

    /// Makes the container anew, as it was before anything was done to it.
    async fn renew(&mut self, task: &Task) {
        let Some(container) = self.container.take() else { return };
        let removed = container.remove(&self.worker, task).await;
        drop(container);
        if let Err(error) = removed.map_err(Some) {
            tracing::warn!(task = %task.id, ?error, "a container that could not go on cannot be removed");
        }
        // A failure is told when the container is missing.
        if let Err(error) = self.prepare(task).await {
            tracing::warn!(task = %task.id, ?error, "a container cannot be made anew");
        }
    }

    fn directory(&self, wish: &TaskCheckpoint) -> PathBuf {
        match &wish.dir {
            Some(dir) => PathBuf::from(dir),
            None => self.worker.inner.checkpoints.clone(),
        }
    }
}
