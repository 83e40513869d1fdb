//! A task: one instance of a service, bound to at most one node, never moved.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AssignedDevice, ContainerSpec, Meta, NetworkAddresses, Placement, ServiceRestart};
use crate::id::{NetworkId, NodeId, ServiceId, TaskId, VolumeId};

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    pub meta: Meta,
    pub service: ServiceId,
    pub service_name: String,
    /// The compose project it belongs to.
    pub project: Option<String>,
    /// 1 upward within the service; 0 for a global service's task.
    pub slot: u32,
    pub node: Option<NodeId>,
    /// Its container's.
    #[serde(default)]
    pub name: String,
    /// Tasks of one definition share it.
    #[serde(default, skip_serializing_if = "is_left_out")]
    pub spec: Arc<TaskSpec>,
    /// Changes when a change of the service asks for a new task ([`super::Service::spec_hash`] at birth).
    pub spec_hash: String,
    /// Written by managers only.
    pub desired: TaskState,
    /// Written by the task's agent only, once it is assigned.
    pub status: TaskStatus,
    /// Not started before this moment (`deploy.restart_policy.delay`).
    #[serde(default)]
    pub start_after: Option<Timestamp>,
    /// How often the orchestrator has restarted the slot, within the policy's window.
    #[serde(default)]
    pub restarts: u32,
    /// The [`super::Service::spec_hash`] of each dependency with `restart: true` when this task was started.
    #[serde(default)]
    pub started_with: std::collections::BTreeMap<String, String>,
    /// Its addresses on networks that span nodes, given by the allocator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<NetworkAddresses>,
    /// The devices of its node that it was given, for each of its [requests](super::Resources::all_requests). They are
    /// its own until it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<AssignedDevice>,
    /// Sent to its first process, once while it runs: the warning before its time is up. Written by managers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// When it stops, its processes are written down for a later task ([`TaskSpec::checkpoint`]). Written by managers
    /// only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checkpoint_on_stop: bool,
}

/// Whether a definition says nothing at all, as where it is known from elsewhere.
fn is_left_out(spec: &Arc<TaskSpec>) -> bool {
    spec.container.image.is_empty() && **spec == TaskSpec::default()
}

impl Task {
    /// Makes a record that an earlier program wrote what this one writes: the name was the definition's then.
    pub fn renew(&mut self) {
        if self.name.is_empty() {
            self.name.clone_from(&self.spec.container.name);
            Arc::make_mut(&mut self.spec).container.name.clear();
        }
    }

    /// Its address on the routing mesh, which no definition names; its ports are every node's then.
    pub fn mesh(&self) -> Option<&NetworkAddresses> {
        self.addresses.iter().find(|given| !self.spec.networks.contains(&given.network))
    }
}

/// What a task runs and where it may run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskSpec {
    /// Without a name, which is each task's own.
    pub container: ContainerSpec,
    pub restart: Option<ServiceRestart>,
    pub placement: Placement,
    /// Counted up to replace tasks whose definition did not change.
    pub force_update: u64,
    /// The cluster's networks the container is on, in the order of `container.networks`.
    pub networks: Vec<NetworkId>,
    /// The cluster's volumes that are mounted.
    pub volumes: Vec<VolumeId>,
    /// What else makes a task new when it changes: the versions of stored files, and of services
    /// whose namespaces are shared.
    pub bound_to: Vec<String>,
    /// A new container does not take over the anonymous volumes of the one it replaces.
    pub renew_anon_volumes: bool,
    /// How long the container gets to stop, over its own `stop_grace_period`.
    pub stop_timeout: Option<std::time::Duration>,
    /// Anonymous volumes go with the container.
    pub remove_volumes: bool,
    /// What the image's registry asks for. Sealed in the log, sent to the nodes that need it, written to no disk there.
    pub registry_auth: Option<RegistryAuth>,
    /// Where its processes are written down, and what they go on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<TaskCheckpoint>,
    /// The very image, when a node of the cluster had it as the service was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<TaskImage>,
}

/// Checkpoints of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCheckpoint {
    /// A directory of the node's, which may be shared with others; `None` is one of the agent's own.
    pub dir: Option<String>,
    /// The name of the one that it makes.
    pub name: String,
    /// The name of the one that it goes on from.
    pub restore: Option<String>,
}

/// What came of a task's checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointOutcome {
    /// It went on from one.
    Restored,
    /// It began from its beginning, for this reason.
    NotRestored(String),
    /// One was made when it stopped.
    Made,
    /// None was made when it stopped, for this reason.
    NotMade(String),
}

/// An image that a node has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskImage {
    /// The digest of its configuration.
    pub id: String,
    pub node: NodeId,
}

/// A value of Docker's `X-Registry-Auth` header.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RegistryAuth(pub String);

/// What a [`RegistryAuth`] holds.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RegistryLogin {
    pub username: String,
    pub password: String,
    #[serde(rename = "identitytoken")]
    pub identity_token: Option<String>,
    #[serde(rename = "registrytoken")]
    pub registry_token: Option<String>,
}

impl RegistryAuth {
    /// What it holds; `None` when it is not base64 of JSON.
    pub fn login(&self) -> Option<RegistryLogin> {
        use base64::{
            Engine,
            engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
        };
        let text = self.0.trim().trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

// Records get into logs; credentials must not.
impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RegistryAuth(…)")
    }
}

/// How far a task has come. It only ever moves to a later state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Written by the orchestrator, not looked at yet.
    #[default]
    New,
    /// Has its addresses; waits for a node (or for what it depends on).
    Pending,
    /// Has a node.
    Assigned,
    /// The node's agent has taken it.
    Accepted,
    /// Image, networks and volumes are being made ready.
    Preparing,
    /// The container exists and waits for the word to start.
    Ready,
    Starting,
    Running,
    /// Ended with exit code 0.
    Complete,
    /// Stopped because that was asked for.
    Shutdown,
    /// Ended with a failure, or became unhealthy.
    Failed,
    /// The node could not run it at all.
    Rejected,
    /// Desired: to be stopped and its container removed. Reported: the container is gone.
    Remove,
    /// Its node has been gone for too long.
    Orphaned,
}

impl TaskState {
    /// Every state, in the order in which a task comes to them.
    pub const ALL: [Self; 14] = [
        Self::New,
        Self::Pending,
        Self::Assigned,
        Self::Accepted,
        Self::Preparing,
        Self::Ready,
        Self::Starting,
        Self::Running,
        Self::Complete,
        Self::Shutdown,
        Self::Failed,
        Self::Rejected,
        Self::Remove,
        Self::Orphaned,
    ];

    /// Whether nothing more will happen to the task by itself.
    pub fn is_final(self) -> bool {
        self >= Self::Complete
    }
}

impl std::fmt::Display for TaskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Pending => "pending",
            Self::Assigned => "assigned",
            Self::Accepted => "accepted",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Shutdown => "shutdown",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Remove => "remove",
            Self::Orphaned => "orphaned",
        })
    }
}

/// What is known of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskStatus {
    pub state: TaskState,
    pub at: Timestamp,
    /// What it does or waits for, for people.
    pub message: String,
    /// Why it failed.
    pub error: Option<String>,
    pub container_id: Option<String>,
    /// The image that the container was made from.
    pub image_id: Option<String>,
    pub pid: Option<i32>,
    /// Of a task that is running: what its container ended with before the restart that is due.
    pub exit_code: Option<i32>,
    pub health: Health,
    /// When it began to run.
    pub running_since: Option<Timestamp>,
    /// How often the engine restarted the container in place.
    pub restart_count: u32,
    pub addresses: Vec<TaskAddress>,
    pub ports: Vec<PublishedPort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointOutcome>,
}

/// An address that a task has on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskAddress {
    pub network: String,
    pub address: std::net::IpAddr,
}

/// A port as it was published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    pub host_ip: std::net::IpAddr,
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: super::Protocol,
}

/// What the last healthchecks said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No healthcheck.
    #[default]
    None,
    Starting,
    Healthy,
    Unhealthy,
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}
