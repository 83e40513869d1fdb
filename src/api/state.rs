//! What handlers have at hand.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use super::{anywhere::Elsewhere, build::Builds, error::ApiError};
use crate::member::Member;
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
    /// This machine's place in the cluster.
    pub member: Member,
    /// Processes in containers on other nodes.
    pub elsewhere: Elsewhere,
    pub builds: Builds,
    pub clock: SharedClock,
    pub facts: SharedFacts,
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
    /// How other nodes reach this one where nothing is said; empty for what is found out.
    pub advertise: String,
}

/// Facts that can change while the daemon runs.
#[derive(Debug)]
pub struct SharedFacts(RwLock<Arc<Facts>>);

impl SharedFacts {
    pub fn new(facts: Facts) -> Self {
        Self(RwLock::new(Arc::new(facts)))
    }
}

impl State {
    /// What the daemon knows of itself now.
    pub fn facts(&self) -> Arc<Facts> {
        self.facts.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what the daemon knows of itself.
    pub fn set_facts(&self, facts: Facts) {
        *self.facts.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(facts);
    }

    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The control plane, where this node is a manager.
    ///
    /// # Errors
    /// On a worker; the answer tells where to ask.
    pub fn control(&self) -> Result<Control, ApiError> {
        self.member.control().ok_or_else(|| {
            ApiError::unavailable("This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.")
        })
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
