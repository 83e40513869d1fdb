//! What the engine says about containers, and what can be asked beside the spec.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use hoist_proto::clock::Timestamp;
use hoist_proto::id::{ContainerId, ExecId};
use hoist_proto::spec::{ContainerSpec, Healthcheck, MountKind, Resources, RestartPolicy};
use serde::{Deserialize, Serialize};

/// The answer to [`Engine::create`](crate::Engine::create).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    pub id: ContainerId,
    /// What a person should know: such as limits that this host cannot keep.
    pub warnings: Vec<String>,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Never started.
    #[default]
    Created,
    Running,
    Paused,
    /// Ended, and waiting to be started again by its restart policy.
    Restarting,
    /// Being removed.
    Removing,
    Exited,
    /// Could not be removed completely.
    Dead,
}

impl Status {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether it has processes.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// A container's state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub status: Status,
    /// The first process, as the host sees it, while it runs.
    pub pid: Option<i32>,
    /// Of the last run.
    pub exit_code: Option<i32>,
    pub oom_killed: bool,
    /// Why the last start failed; empty if it did not.
    pub error: String,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// By the restart policy.
    pub restart_count: u32,
    /// A person stopped it, so that `unless-stopped` leaves it.
    pub stopped_by_hand: bool,
    /// `None` without a healthcheck.
    pub health: Option<Health>,
    /// What it holds while it runs, and held when it last did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<hoist_device::Assigned>,
}

/// What a healthcheck has found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last five, oldest first.
    pub log: Vec<HealthResult>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    #[default]
    Starting,
    Healthy,
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One run of a healthcheck.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthResult {
    pub start: Timestamp,
    pub end: Timestamp,
    /// 0 is well; -1 when it could not be run or took too long.
    pub exit_code: i32,
    /// The beginning of what it wrote (4 KiB).
    pub output: String,
}

/// Spec and image together: what is really run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Effective {
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    /// Sorted out: each variable once.
    pub env: Vec<String>,
    /// What the container and its image say of it, without what each container is given; a name without a value unsets.
    /// `None` in records of earlier programs.
    pub own_env: Option<Vec<String>>,
    pub working_dir: String,
    pub user: String,
    pub hostname: String,
    pub labels: BTreeMap<String, String>,
    /// `port/protocol`.
    pub exposed_ports: Vec<String>,
    /// Paths that the image wants volumes for.
    pub volumes: Vec<String>,
    pub healthcheck: Option<Healthcheck>,
    pub stop_signal: String,
    pub stop_timeout: Option<Duration>,
    pub shell: Vec<String>,
    pub on_build: Vec<String>,
}

/// Something mounted, as it turned out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountPoint {
    pub kind: MountKind,
    /// The volume's name.
    pub name: Option<String>,
    /// On the host; empty for tmpfs.
    pub source: String,
    pub target: String,
    pub driver: Option<String>,
    pub read_write: bool,
    pub propagation: String,
    /// The volume was made for this container and goes with it (`remove` with `volumes`).
    pub anonymous: bool,
}

/// Everything about one container.
#[derive(Debug, Clone)]
pub struct Container {
    pub id: ContainerId,
    /// Without a slash.
    pub name: String,
    pub created: Timestamp,
    /// As it was asked for (without the bytes of secrets), with later updates.
    pub spec: ContainerSpec,
    /// `sha256:…`
    pub image_id: String,
    pub effective: Effective,
    pub state: State,
    pub mounts: Vec<MountPoint>,
    /// Connections, in order; empty when it does not run.
    pub endpoints: Vec<hoist_network::Endpoint>,
    pub ports: Vec<hoist_network::PublishedPort>,
    /// The pinned network namespace.
    pub sandbox: Option<PathBuf>,
    /// `hosts`, `hostname`, `resolv.conf` and the log live there.
    pub paths: ContainerPaths,
    /// Execs that run or whose result was not forgotten yet.
    pub execs: Vec<ExecId>,
    /// `os`
    pub platform: String,
}

impl Container {
    /// What is run: entrypoint and command.
    pub fn argv(&self) -> Vec<String> {
        self.effective.entrypoint.iter().chain(&self.effective.command).cloned().collect()
    }
}

/// Files on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerPaths {
    /// Empty if the logging driver keeps none.
    pub log: PathBuf,
    pub hostname: PathBuf,
    pub hosts: PathBuf,
    pub resolv_conf: PathBuf,
}

/// Which containers to list. An empty set does not restrict.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListOptions {
    /// Also those that do not run.
    pub all: bool,
    /// `key` or `key=value`; all must hold.
    pub labels: Vec<String>,
}

/// How a container is stopped; `None` is the container's own setting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopOptions {
    pub signal: Option<String>,
    pub timeout: Option<Timeout>,
}

/// How long a stop waits before it kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    After(Duration),
    Never,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Also when it runs.
    pub force: bool,
    /// With its anonymous volumes.
    pub volumes: bool,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// True at once for a container that does not run.
    #[default]
    NotRunning,
    NextExit,
    Removed,
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitResult {
    pub exit_code: i32,
    /// Why it could not be started; empty if it was.
    pub error: String,
}

/// Changes to a container; `None` leaves as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpdateOptions {
    /// Only the limits that are set are changed.
    pub resources: Resources,
    pub restart: Option<RestartPolicy>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttachOptions {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    pub rows: u16,
    pub columns: u16,
}

/// A further process for a running container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecSpec {
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub tty: bool,
    pub privileged: bool,
    pub attach: AttachOptions,
    /// Kept for inspection.
    pub detach_keys: String,
}

/// What is known of an exec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecInfo {
    pub id: ExecId,
    pub container: ContainerId,
    pub spec: ExecSpec,
    pub running: bool,
    pub pid: Option<i32>,
    pub exit_code: Option<i32>,
}

/// Which lines of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    pub stdout: bool,
    pub stderr: bool,
    /// Goes on with what is written until the container stops.
    pub follow: bool,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// The last so many; `None` is all.
    pub tail: Option<usize>,
}

/// What a container uses, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    pub read: Timestamp,
    pub cgroup: hoist_runtime::cgroup::CgroupStats,
    /// Processor time of the whole machine, nanoseconds.
    pub system_cpu: u64,
    pub online_cpus: u32,
    /// Memory of the whole machine, bytes: the limit of those that have none.
    pub machine_memory: u64,
    /// By the interface's name in the container.
    pub networks: BTreeMap<String, NetworkStats>,
}

/// Traffic of an interface, from the container's side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkStats {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

/// The processes of a container, as `ps` shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Top {
    pub titles: Vec<String>,
    pub processes: Vec<Vec<String>>,
}

/// A file in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    pub name: String,
    pub size: u64,
    /// Type and permission bits as `stat(2)` has them.
    pub mode: u32,
    pub modified: Timestamp,
    /// Where a symbolic link points, as a path in the container.
    pub link_target: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// A directory never replaces a file, nor a file a directory.
    pub no_overwrite_dir_non_dir: bool,
    /// Owners as in the archive, else the container's root.
    pub copy_uid_gid: bool,
}

/// What a prune removes: containers that do not run, and of these those that fit all conditions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PruneOptions {
    /// Made before this moment.
    pub until: Option<Timestamp>,
    /// `key` or `key=value`.
    pub labels: Vec<String>,
    pub without_labels: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    pub removed: Vec<ContainerId>,
    /// Bytes.
    pub reclaimed: u64,
}

/// How processes are written down; see [`Engine::checkpoint`](crate::Engine::checkpoint).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointOptions {
    /// The checkpoint's name.
    pub name: String,
    /// An absolute path, below which the checkpoint is made; else it is kept, and goes, with the container.
    pub dir: Option<std::path::PathBuf>,
    /// The container goes on.
    pub leave_running: bool,
}
