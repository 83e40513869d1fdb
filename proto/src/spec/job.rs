//! Jobs: work that waits for its turn, runs and ends; and the queue that they wait in.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ContainerSpec, DeviceRequest, DeviceUse, Meta};
use crate::id::{ClusterId, JobId, NodeId, ServiceId};

/// One job. An array is so many of them, which know each other by [`ArrayIndex`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub meta: Meta,
    /// What people call it by: counted up from 1 in the cluster; all jobs of an array share one.
    pub number: u64,
    pub array: Option<ArrayIndex>,
    /// Who submitted it.
    pub user: String,
    pub uid: Option<u32>,
    pub spec: JobSpec,
    pub status: JobStatus,
}

impl Job {
    /// `12`, or `12_3` in an array.
    pub fn label(&self) -> String {
        match &self.array {
            Some(array) => format!("{}_{}", self.number, array.index),
            None => self.number.to_string(),
        }
    }
}

/// A job's place in its array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrayIndex {
    pub index: u32,
    /// How many of the array may run at once; 0 is all.
    pub at_once: u32,
}

/// What a person asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSpec {
    pub name: String,
    pub project: Option<String>,
    /// `None` is the default one.
    pub partition: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    pub container: ContainerSpec,
    /// Tasks that start together or not at all.
    pub tasks: u32,
    /// What each task gets.
    pub each: JobResources,
    pub layout: JobLayout,
    /// As a service's placement constraints.
    pub constraints: Vec<String>,
    /// Ended after so long; `None` is the partition's default.
    pub time_limit: Option<Duration>,
    /// A signal before its time is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<JobWarning>,
    /// How long its containers get to stop.
    pub grace: Option<Duration>,
    /// How often it is started again after a failure.
    pub retries: u32,
    /// Its processes are written down when it has to wait again, and go on from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<JobCheckpoint>,
    pub depends: Vec<JobDependency>,
    /// Not before.
    pub begin: Option<Timestamp>,
    /// Ended unless it has started by then.
    pub deadline: Option<Timestamp>,
    pub labels: BTreeMap<String, String>,
}

/// Where a job's processes are written down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobCheckpoint {
    /// A directory that the nodes share; `None` is one of each node's own, and the job goes on only if it comes back to
    /// the same node.
    pub dir: Option<String>,
}

/// A signal to each of a job's tasks, so long before the time limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobWarning {
    /// `USR1`, `SIGUSR1` or a number.
    pub signal: String,
    pub before: Duration,
}

/// Processors, memory and devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobResources {
    /// Billionths of a processor.
    pub nano_cpus: u64,
    /// Bytes.
    pub memory: u64,
    /// How many by kind.
    pub devices: BTreeMap<String, u32>,
    /// Devices of which more is asked: a model, a part of one, these ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<DeviceRequest>,
}

impl JobResources {
    /// All that is asked for of a node's devices.
    pub fn all_requests(&self) -> Vec<DeviceRequest> {
        let counted = self.devices.iter().filter(|(_, count)| **count > 0).map(|(kind, count)| DeviceRequest {
            count: Some(i64::from(*count)),
            capabilities: vec![vec![kind.clone()]],
            ..DeviceRequest::default()
        });
        counted.chain(self.requests.iter().cloned()).collect()
    }
}

/// How a job's tasks lie on nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobLayout {
    /// On as few nodes as it takes.
    #[default]
    Packed,
    OneNode,
    /// Each task on a node that it has for itself.
    WholeNodes,
}

/// A job that must have ended before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDependency {
    /// The other's number; of an array, all of it.
    pub job: u64,
    pub when: JobCondition,
}

/// How the other job must have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobCondition {
    #[default]
    Success,
    Failure,
    End,
}

/// What is known of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobStatus {
    pub state: JobState,
    /// Why it waits or how it ended, for people.
    pub reason: String,
    /// Does not start until it is released.
    pub held: bool,
    /// When it is expected to start, as of the last pass.
    pub expected: Option<Timestamp>,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub exit_code: Option<i32>,
    /// How often it was started.
    pub attempts: u32,
    /// The service that its tasks belong to while it runs, and after.
    pub service: Option<ServiceId>,
    /// The node of each task, by rank.
    pub nodes: Vec<NodeId>,
    /// Its tasks were given the signal that comes before the time limit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub warned: bool,
    /// What it is to become once its containers have stopped.
    pub leaving: Option<JobState>,
    /// The checkpoint that it goes on from when it starts again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// What came of the last one, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub checkpoint_said: String,
    /// Device milliseconds that were counted already.
    pub counted: u64,
    /// Since when its devices are used less than its partition demands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<Timestamp>,
    /// When it was warned of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_warned: Option<Timestamp>,
    /// What its attempts that have ended made of their devices.
    pub used: DeviceUse,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    #[default]
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
    /// Its time limit or its deadline came first.
    TimedOut,
}

impl JobState {
    /// Whether nothing more will happen to it by itself.
    pub fn is_final(self) -> bool {
        self >= Self::Completed
    }
}

impl std::fmt::Display for JobState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed out",
        })
    }
}

/// The queue's rules, and what was used. One a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    pub id: ClusterId,
    pub meta: Meta,
    pub spec: QueueSpec,
    /// The number of the last job.
    pub last: u64,
    /// What each account used, one row a day.
    pub used: Vec<UsageRow>,
    /// What counts against fair share: device milliseconds that fade, by user and project.
    pub fading: Vec<Fading>,
    /// Jobs that come again and again, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub crons: BTreeMap<String, Cron>,
}

/// A job that comes again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cron {
    pub spec: CronSpec,
    pub user: String,
    pub uid: Option<u32>,
    pub paused: bool,
    pub created: Timestamp,
    /// `None` while it is paused.
    pub next: Option<Timestamp>,
    /// When a job was made last, and its number.
    pub last: Option<Timestamp>,
    pub last_job: Option<u64>,
    /// Moments at which no job was made: nobody led then, or the last one still ran.
    pub missed: u64,
    /// Why there was none at the last such moment.
    pub problem: String,
}

/// When, and what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CronSpec {
    /// Five fields, or a word such as `@daily`.
    pub schedule: String,
    /// In whose time, such as `Europe/Berlin`; empty is UTC.
    pub zone: String,
    /// No job is made while the last one waits or runs.
    pub no_overlap: bool,
    /// One job is made for the moments that nobody was there for.
    pub catch_up: bool,
    pub request: JobRequest,
}

/// What the lab's owners set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSpec {
    /// The first is the default one; none is one of all nodes.
    pub partitions: Vec<PartitionSpec>,
    pub users: BTreeMap<String, AccountSpec>,
    pub projects: BTreeMap<String, AccountSpec>,
    pub reservations: Vec<ReservationSpec>,
    /// Use counts half after so many hours.
    pub half_life_hours: u32,
    /// A job gains one step of priority for so many hours of waiting; 0 is never.
    pub aging_hours: u32,
    /// Ended jobs are forgotten after so many hours.
    pub keep_hours: u32,
    /// Users who may do everything, beside root.
    pub admins: Vec<String>,
}

impl Default for QueueSpec {
    fn default() -> Self {
        Self {
            partitions: Vec::new(),
            users: BTreeMap::new(),
            projects: BTreeMap::new(),
            reservations: Vec::new(),
            half_life_hours: 7 * 24,
            aging_hours: 24,
            keep_hours: 7 * 24,
            admins: Vec::new(),
        }
    }
}

/// A group of nodes with rules of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartitionSpec {
    pub name: String,
    /// Nodes that meet all of these; none is every node.
    pub constraints: Vec<String>,
    pub default_time_hours: Option<u32>,
    pub max_time_hours: Option<u32>,
    /// Jobs that run give way to jobs of higher priority, and wait again.
    pub preempt: bool,
    /// A job whose devices work less than this part of the time, in percent, for `idle_minutes` is warned.
    pub idle_percent: Option<u32>,
    pub idle_minutes: Option<u32>,
    /// How long it has to use them after that.
    pub idle_grace_minutes: Option<u32>,
    /// What becomes of it then.
    pub idle_action: IdleAction,
    /// Users and projects that may use it; none is everybody.
    pub users: Vec<String>,
    pub projects: Vec<String>,
}

/// What becomes of a job that does not use its devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdleAction {
    #[default]
    End,
    /// It waits again.
    Requeue,
    /// It is warned and no more.
    Warn,
}

/// Share and bounds of a user or a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountSpec {
    /// `None` is 1.
    pub share: Option<u32>,
    pub devices: Option<u32>,
    pub jobs: Option<u32>,
    pub device_hours: Option<f64>,
}

/// Nodes that are set aside for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReservationSpec {
    pub name: String,
    /// Nodes that meet all of these.
    pub constraints: Vec<String>,
    pub from: Timestamp,
    pub until: Timestamp,
    #[serde(default)]
    pub users: Vec<String>,
    #[serde(default)]
    pub projects: Vec<String>,
}

/// What an account used on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// `2026-11-28`, UTC, of the job's end.
    pub day: String,
    pub user: String,
    pub project: Option<String>,
    pub jobs: u64,
    pub device_millis: u64,
    pub cpu_millis: u64,
    /// What was measured of the devices.
    #[serde(default)]
    pub used: DeviceUse,
}

/// What counts against an account's fair share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fading {
    pub user: String,
    pub project: Option<String>,
    pub amount: f64,
    /// Milliseconds since the Unix epoch.
    pub at: u64,
}

/// A job, or an array of jobs, that is to be queued.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobRequest {
    pub spec: JobSpec,
    pub array: Option<ArrayRequest>,
    /// Does not start until it is released.
    pub hold: bool,
    /// For whom, when it is not the caller.
    pub user: Option<String>,
}

/// So many like jobs, each with an index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrayRequest {
    pub indices: Vec<u32>,
    /// How many may run at once; 0 is all.
    #[serde(default)]
    pub at_once: u32,
}

/// What was queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    pub number: u64,
    pub jobs: Vec<JobId>,
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    pub user: String,
    /// Where the host knows it.
    pub uid: Option<u32>,
}
