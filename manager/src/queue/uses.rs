//! What agents say that tasks make of their devices. In the leader's memory only: agents say it again, and what an
//! attempt has used in all is written when it ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hoist_proto::{id::TaskId, spec::DeviceUse};
use tokio::time::Instant;

/// How much a task uses is told over so much measured time at least.
const WINDOW_MILLIS: u64 = 4_000;
/// Who has not been heard of for so long is forgotten: his use is written long since.
const KEPT: Duration = Duration::from_secs(600);

/// By task. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uses(Arc<Mutex<HashMap<TaskId, Known>>>);

#[derive(Debug, Clone, Copy)]
struct Known {
    all: DeviceUse,
    /// What its agent said last.
    said: DeviceUse,
    /// Where the present window began.
    mark: DeviceUse,
    /// Percent of the last window in which the devices worked.
    rate: Option<f64>,
    at: Instant,
}

impl Uses {
    fn known(&self) -> MutexGuard<'_, HashMap<TaskId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what an agent says: JSON, or nothing. What makes no sense is passed over.
    pub(crate) fn note(&self, said: &[u8], now: Instant) {
        if said.is_empty() {
            return;
        }
        let Ok(all) = serde_json::from_slice::<Vec<(TaskId, DeviceUse)>>(said) else {
            tracing::warn!("what an agent says of its tasks' devices makes no sense");
            return;
        };
        let mut known = self.known();
        for (task, said) in all {
            let nothing = DeviceUse::default();
            let new = Known { all: nothing, said: nothing, mark: nothing, rate: None, at: now };
            let one = known.entry(task).or_insert(new);
            // A daemon that begins anew counts from nothing.
            one.all.add(&said.since(&one.said));
            (one.said, one.at) = (said, now);
            let window = one.all.since(&one.mark);
            if window.measured_millis >= WINDOW_MILLIS {
                one.rate = window.idle_percent().map(|idle| 100.0 - idle);
                one.mark = one.all;
            }
        }
        known.retain(|_, one| now.duration_since(one.at) < KEPT);
    }

    /// What a task has used so far.
    pub(crate) fn of(&self, task: &TaskId) -> DeviceUse {
        self.known().get(task).map(|one| one.all).unwrap_or_default()
    }

    /// Percent of the last moments in which a task's devices worked, if that is known.
    pub(crate) fn rate(&self, task: &TaskId) -> Option<f64> {
        self.known().get(task)?.rate
    }
}
