//! The options that engines give to a runtime, under the names that they expect.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

/// Runs containers from OCI bundles.
#[derive(Debug, Parser)]
#[command(name = "hoist oci", bin_name = "hoist oci", disable_help_subcommand = true, version, about)]
pub(super) struct Cli {
    /// Write debug messages to the log
    #[arg(long, global = true)]
    pub debug: bool,
    /// Write messages to this file as well as to standard error
    #[arg(long, global = true, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Form of messages in the log file
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Directory for the state of containers; it should not outlive a reboot
    #[arg(long, global = true, value_name = "DIRECTORY", env = "HOIST_OCI_ROOT")]
    pub root: Option<PathBuf>,
    /// Not supported: cgroups are made directly, not through systemd
    #[arg(long, global = true)]
    pub systemd_cgroup: bool,
    /// Ignore that cgroups cannot be limited: true, false or auto
    #[arg(long, global = true, value_name = "BOOL", default_value = "auto")]
    pub rootless: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a container: all is set up, the command is not run yet
    Create(Create),
    /// Run the command of a created container
    Start { id: String },
    /// Create a container and run its command
    Run(Run),
    /// Print the state of a container
    State { id: String },
    /// Send a signal to a container's first process
    Kill(Kill),
    /// Delete a stopped container
    Delete(Delete),
    /// Run a further process in a container
    Exec(Exec),
    /// List containers
    List(List),
    /// List the processes of a container
    Ps(Ps),
    /// Stop all processes of a container where they are
    Pause { id: String },
    /// Let a paused container go on
    Resume { id: String },
    /// Change the limits of a container
    Update(Update),
    /// Print events of a container: statistics, and want of memory
    Events(Events),
    /// Print what this runtime can do
    Features,
    /// Write a new config.json
    Spec(SpecFile),
    /// Not supported
    Checkpoint(Unsupported),
    /// Not supported
    Restore(Unsupported),
}

#[derive(Debug, Args)]
pub(super) struct Unsupported {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub rest: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The container's name
    pub id: String,
    /// The directory with config.json and the root file system
    #[arg(short, long, default_value = ".")]
    pub bundle: PathBuf,
    /// Unix socket to which the terminal is sent
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// File into which the process's number is written
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Enter the root by moving it over the old one; for a root that is an initramfs
    #[arg(long)]
    pub no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
    /// Leave this many descriptors after the standard ones open for the command
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub preserve_fds: u32,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub create: Create,
    /// Do not wait for the command to end
    #[arg(short, long)]
    pub detach: bool,
    /// Do not delete the container when it ends
    #[arg(long)]
    pub keep: bool,
    /// Not supported: let orphans of the container come to this process
    #[arg(long, hide = true)]
    pub no_subreaper: bool,
}

#[derive(Debug, Args)]
pub(super) struct Kill {
    pub id: String,
    /// A name or a number
    #[arg(default_value = "SIGTERM")]
    pub signal: String,
    /// Send it to all processes of the container
    #[arg(short, long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    pub id: String,
    /// Kill the container first if it runs
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Exec {
    pub id: String,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
    /// Unix socket to which the terminal is sent
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Working directory
    #[arg(long)]
    pub cwd: Option<PathBuf>,
    /// Set a variable: KEY=VALUE
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// Give the process a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// uid[:gid], in numbers
    #[arg(short, long)]
    pub user: Option<String>,
    /// Further groups, in numbers
    #[arg(short = 'g', long)]
    pub additional_gids: Vec<u32>,
    /// JSON file that describes the whole process
    #[arg(short, long, value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// Do not wait for the process to end
    #[arg(short, long)]
    pub detach: bool,
    /// File into which the process's number is written
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// SELinux label
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// Set no_new_privs
    #[arg(long)]
    pub no_new_privs: bool,
    /// Add a capability
    #[arg(short, long, value_name = "CAP")]
    pub cap: Vec<String>,
    /// Leave this many descriptors after the standard ones open for the process
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub preserve_fds: u32,
    /// Put the process into this cgroup below the container's
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<String>,
    /// Start the process even if the container is paused
    #[arg(long)]
    pub ignore_paused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TableOrJson {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    pub format: TableOrJson,
    /// Print ids only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct Ps {
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    pub format: TableOrJson,
    pub id: String,
    /// Not supported: options for ps(1)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub ps_options: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Events {
    pub id: String,
    /// How often statistics are printed: a number with s, m or ms
    #[arg(long, default_value = "5s")]
    pub interval: String,
    /// Print statistics once and end
    #[arg(long)]
    pub stats: bool,
}

#[derive(Debug, Args)]
pub(super) struct SpecFile {
    #[arg(short, long, default_value = ".")]
    pub bundle: PathBuf,
    /// For a container of a user other than root
    #[arg(long)]
    pub rootless: bool,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct Update {
    pub id: String,
    /// JSON file with limits, or - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub resources: Option<PathBuf>,
    #[arg(long, value_name = "WEIGHT")]
    pub blkio_weight: Option<u16>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_burst: Option<u64>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_rt_period: Option<u64>,
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub cpu_rt_runtime: Option<i64>,
    #[arg(long, value_name = "SHARES", alias = "cpu-shares")]
    pub cpu_share: Option<u64>,
    #[arg(long, value_name = "0|1")]
    pub cpu_idle: Option<i64>,
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory: Option<String>,
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_reservation: Option<String>,
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// Not supported
    #[arg(long, action = ArgAction::Set, hide = true)]
    pub l3_cache_schema: Option<String>,
    /// Not supported
    #[arg(long, action = ArgAction::Set, hide = true)]
    pub mem_bw_schema: Option<String>,
}
