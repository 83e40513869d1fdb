//! What agents tell for people to watch: pulls, networks and volumes. Nothing of it is stored.

use hoist_proto::{id::TaskId, spec::ProjectEvent};
use tokio::sync::broadcast;

/// So many events are kept for a watcher that is slow; older ones it misses.
const KEPT: usize = 1024;

/// Something that an agent does.
#[derive(Debug, Clone)]
pub struct ProgressEvent {
    /// The task that it is done for, when there is one.
    pub task: Option<TaskId>,
    /// [`ProjectEvent::Pull`] or [`ProjectEvent::Resource`].
    pub event: ProjectEvent,
}

/// The place where progress is told and heard. Clones are the same place.
#[derive(Debug, Clone)]
pub struct Progress {
    sender: broadcast::Sender<ProgressEvent>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { sender: broadcast::channel(KEPT).0 }
    }
}

impl Progress {
    pub fn tell(&self, event: ProgressEvent) {
        // Nobody listening is the usual case.
        let _ = self.sender.send(event);
    }

    pub fn listen(&self) -> broadcast::Receiver<ProgressEvent> {
        self.sender.subscribe()
    }
}
