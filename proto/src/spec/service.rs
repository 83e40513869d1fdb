//! A service: a definition from which tasks are made and kept.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{MeshPorts, NetworkAddresses, TaskSpec};
use crate::id::ServiceId;

/// What every record of the store carries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// The index of the write that last changed it; an update names the one it was based on.
    pub version: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// A service of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub id: ServiceId,
    pub meta: Meta,
    pub spec: ServiceSpec,
    /// What `rollback` returns to.
    pub previous: Option<Box<ServiceSpec>>,
    /// A digest of what in `spec` makes a task new when it changes.
    pub spec_hash: String,
    pub update: Option<UpdateStatus>,
    /// Its virtual addresses on networks that span nodes, given by the allocator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub virtual_ips: Vec<NetworkAddresses>,
    /// Its ports on every node, given by the allocator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshPorts>,
}

/// What a person asks of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    /// Unique in the cluster: `project_service` for a compose service.
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Set for services that come from a compose file.
    pub compose: Option<ComposeOrigin>,
    pub mode: ServiceMode,
    pub lifecycle: Lifecycle,
    /// How long containers get to stop, over their own `stop_grace_period`; set by the last
    /// `stop`, `down` or `up` that said so.
    pub stop_timeout: Option<Duration>,
    /// Anonymous volumes go with the containers (`down -v`, `rm -v`).
    pub remove_volumes: bool,
    pub task: TaskSpec,
    pub depends_on: Vec<Dependency>,
    /// Starts without waiting for `depends_on` (`up --no-deps`).
    pub start_alone: bool,
    pub update: Option<UpdateConfig>,
    pub rollback: Option<UpdateConfig>,
    pub endpoint_mode: EndpointMode,
}

/// The compose file's view of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComposeOrigin {
    pub project: String,
    /// The key under `services:`.
    pub service: String,
    /// A given `container_name`, which also forbids more than one task.
    pub container_name: Option<String>,
    /// Digest of the service's canonical definition, `com.docker.compose.config-hash`.
    pub config_hash: String,
    pub working_dir: String,
    pub config_files: Vec<String>,
}

/// How many tasks there are and whether they end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceMode {
    Replicated {
        replicas: u32,
    },
    /// One on every suitable node.
    Global,
    ReplicatedJob {
        max_concurrent: u32,
        total_completions: u32,
    },
    GlobalJob,
}

impl ServiceMode {
    /// Whether its tasks end by themselves when all goes well.
    pub fn is_job(self) -> bool {
        matches!(self, Self::ReplicatedJob { .. } | Self::GlobalJob)
    }
}

impl Default for ServiceMode {
    fn default() -> Self {
        Self::Replicated { replicas: 1 }
    }
}

/// Whether a service's tasks are to run. `compose stop` and `compose create` change this and nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// Containers exist and wait.
    Created,
    #[default]
    Running,
    /// Containers are stopped and kept.
    Stopped,
    /// Containers are stopped and removed; the record goes when the last one has gone.
    Removed,
}

/// A service that must have come so far before this one starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The other's [`ServiceSpec::name`].
    pub service: String,
    pub condition: DependencyCondition,
    /// When false, a missing or failed dependency only warns.
    pub required: bool,
    /// This service restarts when the other is updated or restarted.
    pub restart: bool,
    /// The other is a step of this service's own preparation, waited for even when it starts alone.
    #[serde(default)]
    pub own: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyCondition {
    #[default]
    ServiceStarted,
    ServiceHealthy,
    ServiceCompletedSuccessfully,
}

/// When the orchestrator replaces a task that ended (`deploy.restart_policy`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceRestart {
    pub condition: RestartCondition,
    pub delay: Duration,
    /// `None` is without end.
    pub max_attempts: Option<u32>,
    /// How long `max_attempts` counts back; zero is for ever.
    pub window: Duration,
}

impl Default for ServiceRestart {
    fn default() -> Self {
        Self {
            condition: RestartCondition::Any,
            delay: Duration::from_secs(5),
            max_attempts: None,
            window: Duration::ZERO,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartCondition {
    None,
    OnFailure,
    #[default]
    Any,
}

/// Where tasks may run and where they would rather.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Placement {
    /// `node.labels.disk==ssd`, …
    pub constraints: Vec<String>,
    /// Node attributes to spread over, the most important first.
    pub spread: Vec<String>,
    pub max_replicas_per_node: Option<u32>,
    pub platforms: Vec<String>,
    #[serde(skip_serializing_if = "PlacementStrategy::is_default")]
    pub strategy: PlacementStrategy,
}

/// How a node is chosen among those that will do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlacementStrategy {
    /// The one with the fewest tasks.
    #[default]
    Spread,
    /// The fullest that has room, so that others stay free for what is large.
    Binpack,
}

impl PlacementStrategy {
    /// The label of a service that says it: `spread` or `binpack`.
    pub const LABEL: &str = "hoist.placement";

    /// What a service's labels say.
    ///
    /// # Errors
    /// The value that is neither.
    pub fn of_labels(labels: &BTreeMap<String, String>) -> Result<Self, String> {
        match labels.get(Self::LABEL).map(String::as_str) {
            None | Some("spread") => Ok(Self::Spread),
            Some("binpack") => Ok(Self::Binpack),
            Some(other) => Err(format!("label {}={other:?} is neither spread nor binpack", Self::LABEL)),
        }
    }

    // Left out, so that digests of definitions stay what they were.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether tasks of a replicated service move to nodes that come, or come back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rebalance {
    /// When somebody asks for it.
    #[default]
    OnRequest,
    /// By itself, within the service's update settings.
    Auto,
}

impl Rebalance {
    /// The label of a service that says it: `auto` or `on-request`.
    pub const LABEL: &str = "hoist.rebalance";

    /// What a service's labels say.
    ///
    /// # Errors
    /// The value that is neither.
    pub fn of_labels(labels: &BTreeMap<String, String>) -> Result<Self, String> {
        match labels.get(Self::LABEL).map(String::as_str) {
            None | Some("on-request") => Ok(Self::OnRequest),
            Some("auto") => Ok(Self::Auto),
            Some(other) => Err(format!("label {}={other:?} is neither auto nor on-request", Self::LABEL)),
        }
    }
}

/// How tasks are replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateConfig {
    /// How many at once; 0 is all.
    pub parallelism: u32,
    pub delay: Duration,
    pub failure_action: FailureAction,
    pub monitor: Duration,
    /// 0 to 1.
    pub max_failure_ratio: f32,
    pub order: UpdateOrder,
}

impl Default for UpdateConfig {
    fn default() -> Self {
        Self {
            parallelism: 1,
            delay: Duration::ZERO,
            failure_action: FailureAction::Pause,
            monitor: Duration::from_secs(5),
            max_failure_ratio: 0.0,
            order: UpdateOrder::StopFirst,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureAction {
    #[default]
    Pause,
    Continue,
    Rollback,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    #[default]
    StopFirst,
    StartFirst,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointMode {
    #[default]
    Vip,
    Dnsrr,
}

/// How an update goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateStatus {
    pub state: UpdateState,
    pub started: Timestamp,
    pub completed: Option<Timestamp>,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateState {
    Updating,
    Paused,
    Completed,
    RollbackStarted,
    RollbackPaused,
    RollbackCompleted,
}
