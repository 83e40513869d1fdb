//! What handlers have at hand.

use std::{path::PathBuf, sync::Arc};

use super::build::Builds;
use hoist_engine::Engine;
use hoist_manager::control::Control;
use hoist_proto::clock::{SharedClock, Timestamp};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What handlers have at hand; a clone is cheap.
#[derive(Clone)]
pub struct State(Arc<Parts>);

/// The rooms below, and what the daemon knows of itself.
pub struct Parts {
    pub engine: Engine,
    pub control: Control,
    pub builds: Builds,
    pub clock: SharedClock,
    pub facts: Facts,
    /// Conversations on connections that were taken over.
    pub tasks: TaskTracker,
    /// Cancelled when the daemon is told to stop.
    pub stop: CancellationToken,
}

/// What the daemon was told and found out at its start.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub data_root: PathBuf,
    /// Stays the same for a data root.
    pub id: String,
    pub host_name: String,
    pub labels: Vec<String>,
    pub debug: bool,
    pub log_driver: String,
    pub insecure_registries: Vec<String>,
    pub registry_mirrors: Vec<String>,
    /// Base and prefix length of each subnet.
    pub address_pools: Vec<(String, u8)>,
}

impl State {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl std::ops::Deref for State {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}
