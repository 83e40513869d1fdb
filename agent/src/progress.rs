//! What people like to watch: pulls, networks and volumes.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use hoist_image::{Phase, PullEvent};
use hoist_proto::{id::TaskId, spec::ProjectEvent};
use tokio::sync::broadcast;

/// A slow session misses the oldest.
const KEPT: usize = 1024;

/// Tells whoever listens. Clones are the same teller.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    sender: broadcast::Sender<(Option<TaskId>, ProjectEvent)>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { sender: broadcast::channel(KEPT).0 }
    }
}

impl Progress {
    pub(crate) fn listen(&self) -> broadcast::Receiver<(Option<TaskId>, ProjectEvent)> {
        self.sender.subscribe()
    }

    pub(crate) fn tell(&self, task: Option<TaskId>, event: ProjectEvent) {
        // Nobody may listen.
        let _ = self.sender.send((task, event));
    }

    pub(crate) fn resource(&self, resource: &str, state: &str, error: Option<String>) {
        let event = ProjectEvent::Resource { resource: resource.to_owned(), state: state.to_owned(), error };
        self.tell(None, event);
    }
}

/// Passes on what a pull tells, as often as an eye can follow.
pub(crate) struct PullTeller {
    pub(crate) progress: Progress,
    pub(crate) task: TaskId,
    pub(crate) image: String,
    layers: Mutex<HashMap<String, (Phase, u64)>>,
}

impl PullTeller {
    pub(crate) fn new(progress: Progress, task: TaskId, image: String) -> Self {
        Self { progress, task, image, layers: Mutex::default() }
    }
}

impl hoist_image::Progress for PullTeller {
    fn report(&self, event: PullEvent) {
        let event = match event {
            PullEvent::Status { message, .. } => {
                ProjectEvent::Pull { image: self.image.clone(), layer: None, phase: message, current: 0, total: None }
            }
            PullEvent::Layer { id, phase, current, total } => {
                let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
                let told = layers.get(&id).copied();
                let step = (total / 50).max(256 << 10);
                if told.is_some_and(|(before, at)| before == phase && current < at + step) {
                    return;
                }
                layers.insert(id.clone(), (phase, current));
                ProjectEvent::Pull {
                    image: self.image.clone(),
                    layer: Some(id),
                    phase: phase.to_string(),
                    current,
                    total: (total > 0).then_some(total),
                }
            }
        };
        self.progress.tell(Some(self.task.clone()), event);
    }
}
