//! Commands on services.

use clap::{Args, Subcommand};

use super::ListFormat;

// `hoist service …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum ServiceCommand {
    /// Create a service
    Create(Box<CreateArgs>),
    /// Show all that is known of services
    Inspect(InspectArgs),
    /// Show what the tasks of a service wrote, or one task
    Logs(LogsArgs),
    /// List services
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// List the tasks of services
    Ps(PsArgs),
    /// Move tasks from nodes that have more than others to those
    Rebalance(RebalanceArgs),
    /// Remove services
    #[command(visible_alias = "remove")]
    Rm(NamesArgs),
    /// Return a service to what it was before its last change
    Rollback(RollbackArgs),
    /// Change how many tasks services have
    Scale(ScaleArgs),
    /// Change a service
    Update(Box<UpdateArgs>),
}

// What create and update have in common.
#[derive(Debug, Clone, Default, Args)]
pub struct SharedFlags {
    /// Return at once instead of waiting until the service is as asked for
    #[arg(short, long)]
    pub detach: bool,
    /// Say nothing of how it goes
    #[arg(short, long)]
    pub quiet: bool,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// User: NAME|UID[:GROUP|GID]
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// On Windows only
    #[arg(long, value_name = "SPEC", hide_short_help = true)]
    pub credential_spec: Option<String>,
    /// Host name in the container
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Entrypoint instead of the image's
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    /// Most processors each task may use
    #[arg(long, value_name = "NUMBER")]
    pub limit_cpu: Option<String>,
    /// Most memory each task may use
    #[arg(long, value_name = "BYTES")]
    pub limit_memory: Option<String>,
    /// Most processes each task may have; 0 is no limit
    #[arg(long, value_name = "NUMBER")]
    pub limit_pids: Option<i64>,
    /// Processors set aside on the node for each task
    #[arg(long, value_name = "NUMBER")]
    pub reserve_cpu: Option<String>,
    /// Memory set aside on the node for each task
    #[arg(long, value_name = "BYTES")]
    pub reserve_memory: Option<String>,
    /// Swap beside the memory limit; -1 is without limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// How readily memory is swapped, 0 to 100; -1 is the default
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub memory_swappiness: Option<i64>,
    /// Preference of the out-of-memory killer, -1000 to 1000
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub oom_score_adj: Option<i64>,
    /// Time to stop before it is killed
    #[arg(long, value_name = "DURATION")]
    pub stop_grace_period: Option<String>,
    /// Signal that stops it
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Number of tasks
    #[arg(long, value_name = "NUMBER")]
    pub replicas: Option<u64>,
    /// Most tasks on one node; 0 is no limit
    #[arg(long, value_name = "NUMBER")]
    pub replicas_max_per_node: Option<u64>,
    /// Tasks of a job that run at the same time
    #[arg(long, value_name = "NUMBER")]
    pub max_concurrent: Option<u64>,
    /// When a task that ended gets a successor: none, on-failure, any
    #[arg(long, value_name = "CONDITION")]
    pub restart_condition: Option<String>,
    /// Wait before a restart
    #[arg(long, value_name = "DURATION")]
    pub restart_delay: Option<String>,
    /// Most restarts; 0 is without end
    #[arg(long, value_name = "NUMBER")]
    pub restart_max_attempts: Option<u64>,
    /// Time within which restarts are counted
    #[arg(long, value_name = "DURATION")]
    pub restart_window: Option<String>,
    /// Tasks that are updated at once; 0 is all
    #[arg(long, value_name = "NUMBER")]
    pub update_parallelism: Option<u64>,
    /// Wait between updates
    #[arg(long, value_name = "DURATION")]
    pub update_delay: Option<String>,
    /// How long an updated task is watched for failure
    #[arg(long, value_name = "DURATION")]
    pub update_monitor: Option<String>,
    /// What a failed update does: pause, continue, rollback
    #[arg(long, value_name = "ACTION")]
    pub update_failure_action: Option<String>,
    /// Part of failed tasks that an update tolerates, 0 to 1
    #[arg(long, value_name = "RATIO")]
    pub update_max_failure_ratio: Option<f32>,
    /// start-first or stop-first
    #[arg(long, value_name = "ORDER")]
    pub update_order: Option<String>,
    /// Tasks that are rolled back at once; 0 is all
    #[arg(long, value_name = "NUMBER")]
    pub rollback_parallelism: Option<u64>,
    /// Wait between rollbacks
    #[arg(long, value_name = "DURATION")]
    pub rollback_delay: Option<String>,
    /// How long a task that was rolled back is watched for failure
    #[arg(long, value_name = "DURATION")]
    pub rollback_monitor: Option<String>,
    /// What a failed rollback does: pause, continue
    #[arg(long, value_name = "ACTION")]
    pub rollback_failure_action: Option<String>,
    /// Part of failed tasks that a rollback tolerates, 0 to 1
    #[arg(long, value_name = "RATIO")]
    pub rollback_max_failure_ratio: Option<f32>,
    /// start-first or stop-first
    #[arg(long, value_name = "ORDER")]
    pub rollback_order: Option<String>,
    /// vip or dnsrr
    #[arg(long, value_name = "MODE")]
    pub endpoint_mode: Option<String>,
    /// Send the registry's credentials to the nodes
    #[arg(long)]
    pub with_registry_auth: bool,
    /// Do not ask the registry for the image's digest and platforms
    #[arg(long)]
    pub no_resolve_image: bool,
    /// Where output goes
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<String>,
    /// Option for the log driver
    #[arg(long = "log-opt", value_name = "KEY=VALUE")]
    pub log_opts: Vec<String>,
    /// Command that tells whether a task is well
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,
    /// Time between two checks
    #[arg(long, value_name = "DURATION")]
    pub health_interval: Option<String>,
    /// Failures in a row that make a task unhealthy
    #[arg(long, value_name = "NUMBER")]
    pub health_retries: Option<i64>,
    /// Time between two checks while it starts
    #[arg(long, value_name = "DURATION")]
    pub health_start_interval: Option<String>,
    /// Time in which failures do not count
    #[arg(long, value_name = "DURATION")]
    pub health_start_period: Option<String>,
    /// Most time for one check
    #[arg(long, value_name = "DURATION")]
    pub health_timeout: Option<String>,
    /// No check, whatever the image says
    #[arg(long)]
    pub no_healthcheck: bool,
    /// On Windows only
    #[arg(long, value_name = "MODE", hide_short_help = true)]
    pub isolation: Option<String>,
    /// Run an init that reaps processes and passes signals on
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub init: Option<bool>,
    /// Mount the root file system read-only
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub read_only: Option<bool>,
    /// Give it a terminal
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tty: Option<bool>,
    /// Add a capability
    #[arg(long, value_name = "CAP")]
    pub cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAP")]
    pub cap_drop: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hoist service create --name web --replicas 3 -p 80:80 nginx
  hoist service create --name migrate --mode replicated-job --restart-condition none app ./migrate")]
pub struct CreateArgs {
    #[command(flatten)]
    pub shared: SharedFlags,
    /// Name; a random one when none is given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// replicated, global, replicated-job or global-job
    #[arg(long, value_name = "MODE", default_value = "replicated")]
    pub mode: String,
    /// Label of the service
    #[arg(short, long = "label", value_name = "KEY[=VALUE]")]
    pub labels: Vec<String>,
    /// Label of its containers
    #[arg(long = "container-label", value_name = "KEY[=VALUE]")]
    pub container_labels: Vec<String>,
    /// Variable
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// Variables of a file
    #[arg(long = "env-file", value_name = "FILE")]
    pub env_files: Vec<std::path::PathBuf>,
    /// Mount: type=…,source=…,target=…
    #[arg(long, value_name = "MOUNT")]
    pub mount: Vec<String>,
    /// Condition on nodes, such as node.role==worker
    #[arg(long, value_name = "CONSTRAINT")]
    pub constraint: Vec<String>,
    /// Preference, such as spread=node.labels.zone
    #[arg(long, value_name = "PREFERENCE")]
    pub placement_pref: Vec<String>,
    /// Network
    #[arg(long, value_name = "NETWORK")]
    pub network: Vec<String>,
    /// Secret: NAME or source=…,target=…,uid=…,gid=…,mode=…
    #[arg(long, value_name = "SECRET")]
    pub secret: Vec<String>,
    /// Config: NAME or source=…,target=…,uid=…,gid=…,mode=…
    #[arg(long, value_name = "CONFIG")]
    pub config: Vec<String>,
    /// Publish a port: [PUBLISHED:]TARGET[/PROTOCOL] or published=…,target=…,protocol=…,mode=…
    #[arg(short, long, value_name = "PORT")]
    pub publish: Vec<String>,
    /// Further group
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// DNS server
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<String>,
    /// DNS option
    #[arg(long, value_name = "OPTION")]
    pub dns_option: Vec<String>,
    /// DNS search domain
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// Entry of /etc/hosts: NAME:ADDRESS
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
    /// Kernel parameter
    #[arg(long, value_name = "KEY=VALUE")]
    pub sysctl: Vec<String>,
    /// Limit per process: NAME=SOFT[:HARD]
    #[arg(long, value_name = "ULIMIT")]
    pub ulimit: Vec<String>,
    /// Generic resources set aside: KIND=COUNT
    #[arg(long, value_name = "KIND=COUNT")]
    pub generic_resource: Vec<String>,
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Command and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hoist service update --image nginx:2 --update-parallelism 2 web
  hoist service update --secret-rm key --secret-add source=key2,target=key web")]
pub struct UpdateArgs {
    #[command(flatten)]
    pub shared: SharedFlags,
    /// Image
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Arguments of the command
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub args: Option<String>,
    /// Replace tasks though nothing asks for it; tasks spread over the nodes anew
    #[arg(long)]
    pub force: bool,
    /// Return to what it was before its last change
    #[arg(long)]
    pub rollback: bool,
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub label_add: Vec<String>,
    #[arg(long, value_name = "KEY")]
    pub label_rm: Vec<String>,
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub container_label_add: Vec<String>,
    #[arg(long, value_name = "KEY")]
    pub container_label_rm: Vec<String>,
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub env_add: Vec<String>,
    #[arg(long, value_name = "KEY")]
    pub env_rm: Vec<String>,
    #[arg(long, value_name = "MOUNT")]
    pub mount_add: Vec<String>,
    #[arg(long, value_name = "TARGET")]
    pub mount_rm: Vec<String>,
    #[arg(long, value_name = "CONSTRAINT")]
    pub constraint_add: Vec<String>,
    #[arg(long, value_name = "CONSTRAINT")]
    pub constraint_rm: Vec<String>,
    #[arg(long, value_name = "PREFERENCE")]
    pub placement_pref_add: Vec<String>,
    #[arg(long, value_name = "PREFERENCE")]
    pub placement_pref_rm: Vec<String>,
    #[arg(long, value_name = "NETWORK")]
    pub network_add: Vec<String>,
    #[arg(long, value_name = "NETWORK")]
    pub network_rm: Vec<String>,
    #[arg(long, value_name = "SECRET")]
    pub secret_add: Vec<String>,
    #[arg(long, value_name = "SECRET")]
    pub secret_rm: Vec<String>,
    #[arg(long, value_name = "CONFIG")]
    pub config_add: Vec<String>,
    #[arg(long, value_name = "CONFIG")]
    pub config_rm: Vec<String>,
    #[arg(long, value_name = "PORT")]
    pub publish_add: Vec<String>,
    /// By its target port: TARGET[/PROTOCOL]
    #[arg(long, value_name = "PORT")]
    pub publish_rm: Vec<String>,
    #[arg(long, value_name = "GROUP")]
    pub group_add: Vec<String>,
    #[arg(long, value_name = "GROUP")]
    pub group_rm: Vec<String>,
    #[arg(long, value_name = "ADDRESS")]
    pub dns_add: Vec<String>,
    #[arg(long, value_name = "ADDRESS")]
    pub dns_rm: Vec<String>,
    #[arg(long, value_name = "OPTION")]
    pub dns_option_add: Vec<String>,
    #[arg(long, value_name = "OPTION")]
    pub dns_option_rm: Vec<String>,
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search_add: Vec<String>,
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search_rm: Vec<String>,
    #[arg(long, value_name = "HOST")]
    pub host_add: Vec<String>,
    #[arg(long, value_name = "HOST")]
    pub host_rm: Vec<String>,
    #[arg(long, value_name = "KEY=VALUE")]
    pub sysctl_add: Vec<String>,
    #[arg(long, value_name = "KEY")]
    pub sysctl_rm: Vec<String>,
    #[arg(long, value_name = "ULIMIT")]
    pub ulimit_add: Vec<String>,
    #[arg(long, value_name = "NAME")]
    pub ulimit_rm: Vec<String>,
    #[arg(long, value_name = "KIND=COUNT")]
    pub generic_resource_add: Vec<String>,
    #[arg(long, value_name = "KIND")]
    pub generic_resource_rm: Vec<String>,
    #[arg(value_name = "SERVICE")]
    pub service: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist service inspect --pretty web")]
pub struct InspectArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// For people
    #[arg(long)]
    pub pretty: bool,
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist service logs -f --tail 20 web")]
pub struct LogsArgs {
    /// Show extra attributes of the log
    #[arg(long)]
    pub details: bool,
    /// Go on as more is written
    #[arg(short, long)]
    pub follow: bool,
    /// Show ids instead of names
    #[arg(long)]
    pub no_resolve: bool,
    /// Leave the tasks' ids out
    #[arg(long)]
    pub no_task_ids: bool,
    /// Show whole ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Show the lines as they are
    #[arg(long)]
    pub raw: bool,
    /// Only what was written since: a time or 10m
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Number of lines from the end of each log
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    pub tail: String,
    /// Show times
    #[arg(short, long)]
    pub timestamps: bool,
    #[arg(value_name = "SERVICE|TASK")]
    pub name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist service ls --filter mode=global")]
pub struct LsArgs {
    /// Only those that match: id, label, mode, name
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show ids only
    #[arg(short, long)]
    pub quiet: bool,
}

// What lists of tasks have in common.
#[derive(Debug, Clone, Args)]
pub struct TaskList {
    /// Only those that match: desired-state, id, name, node
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show ids instead of names
    #[arg(long)]
    pub no_resolve: bool,
    /// Show all of everything
    #[arg(long)]
    pub no_trunc: bool,
    /// Show ids only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist service ps --filter desired-state=running web")]
pub struct PsArgs {
    #[command(flatten)]
    pub list: TaskList,
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist service rm web")]
pub struct NamesArgs {
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist service rollback web")]
pub struct RollbackArgs {
    /// Return at once instead of waiting until the service is as asked for
    #[arg(short, long)]
    pub detach: bool,
    /// Say nothing of how it goes
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(value_name = "SERVICE")]
    pub service: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist service scale web=5 worker=2")]
pub struct ScaleArgs {
    /// Return at once instead of waiting until the services are as asked for
    #[arg(short, long)]
    pub detach: bool,
    #[arg(value_name = "SERVICE=REPLICAS", required = true)]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist explain web.1")]
pub struct ExplainArgs {
    /// Print what is known as JSON
    #[arg(long)]
    pub json: bool,
    /// A task's id, or its name: SERVICE.SLOT
    #[arg(value_name = "TASK")]
    pub task: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist service rebalance web")]
pub struct RebalanceArgs {
    /// Return at once instead of waiting until the tasks have moved
    #[arg(short, long)]
    pub detach: bool,
    /// Say nothing of how it goes
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
}
