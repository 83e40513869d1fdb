use serde::{Deserialize, Serialize};

use super::{ByteSize, Duration, Extensions, Map, is_default};

/// Replicas, resources, placement and updates (deploy.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// `replicated` (the default), `global`, `replicated-job` or `global-job`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Number of tasks in replicated mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u64>,
    /// Labels of the service, not of its containers.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String>,
    /// How an update proceeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_config: Option<UpdateConfig>,
    /// How a rollback proceeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_config: Option<UpdateConfig>,
    /// Limits and reservations.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: Resources,
    /// When tasks are restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// Which nodes may run tasks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub placement: Placement,
    /// `vip` or `dnsrr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_mode: Option<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// How an update or a rollback proceeds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateConfig {
    /// Tasks at a time; 0 is all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u64>,
    /// Pause between groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// `continue`, `rollback` or `pause`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_action: Option<String>,
    /// How long each task is watched for failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Duration>,
    /// Share of failing tasks that is tolerated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failure_ratio: Option<f64>,
    /// `stop-first` or `start-first`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// Limits and reservations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// What a task may not exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What a node must have free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservations: Option<Reservations>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// What a task may not exceed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Number of CPUs, fractional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Bytes of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Number of processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<i64>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// What a node must have free for a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reservations {
    /// Number of CPUs, fractional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Bytes of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Devices by capability.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceRequest>,
    /// User-defined resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// A request for devices by capability; all capabilities must be met.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// `gpu`, `tpu`, or a driver's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// The driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// How many; -1 is all. Excludes `device_ids`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// Which ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_ids: Vec<String>,
    /// The driver's options.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// A number of a user-defined resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GenericResource {
    /// The resource and how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discrete_resource_spec: Option<DiscreteResource>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// A countable resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DiscreteResource {
    /// What it is called: `SSD`, `FPGA`.
    #[serde(default)]
    pub kind: String,
    /// How many.
    #[serde(default)]
    pub value: i64,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// When tasks are restarted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// `none`, `on-failure` or `any` (the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Pause before a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// Attempts before giving up; unset: never give up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u64>,
    /// Time after which a restart counts as successful.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// Which nodes may run tasks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Conditions: `node.labels.disk == ssd`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// How to spread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferences: Vec<PlacementPreference>,
    /// Tasks of the service on one node at most; 0 is no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_replicas_per_node: u64,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// Spread evenly over the values of a node's attribute.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlacementPreference {
    /// The attribute: `node.labels.zone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}
