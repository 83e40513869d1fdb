//! Commands on labs: clusters of network namespaces on this machine.

use clap::{Args, Subcommand};

use super::ListFormat;

// `hoist lab …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum LabCommand {
    /// Make a cluster of machines in network namespaces
    Up(UpArgs),
    /// Remove the lab and all that it made
    Down(DownArgs),
    /// List the lab's machines
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Run a command on a machine's network, with its daemon as the one that commands talk to
    Exec(ExecArgs),
    /// Cut machines off from all others
    Cut(CutArgs),
    /// Undo cut and slow
    Heal(HealArgs),
    /// Slow machines' lines down
    Slow(SlowArgs),
    /// Cut a machine's power: its daemon and its containers are gone at once
    Kill(KillArgs),
    /// Stop machines' daemons in order; their containers go on
    Stop(NodesArgs),
    /// Start machines that were killed or stopped
    Start(NodesArgs),
}

// Which lab.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// Name of the lab
    #[arg(long = "lab", value_name = "NAME", default_value = "lab")]
    pub name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  hoist lab up --managers 3 --workers 4
  hoist -c lab-m1 node ls")]
pub struct UpArgs {
    /// Managers of the cluster: m1, m2, ...
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub managers: u16,
    /// Workers: w1, w2, ...
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub workers: u16,
    /// Subnet of the machines; its last address is this machine's own
    #[arg(long, value_name = "CIDR", default_value = "10.213.0.0/24")]
    pub subnet: String,
    /// Start the machines without making a cluster of them
    #[arg(long)]
    pub no_swarm: bool,
    /// Settings of all daemons: a file as for hoist daemon --config-file
    #[arg(long, value_name = "FILE")]
    pub daemon_config: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub lab: Which,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist lab down")]
pub struct DownArgs {
    #[command(flatten)]
    pub lab: Which,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist lab ls --format '{{.Name}} {{.Address}}'")]
pub struct LsArgs {
    #[command(flatten)]
    pub format: ListFormat,
    /// Only names
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub lab: Which,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist lab exec w1 -- wget -qO- http://10.213.0.1:8080")]
pub struct ExecArgs {
    #[command(flatten)]
    pub lab: Which,
    #[arg(value_name = "NODE")]
    pub node: String,
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hoist lab cut m1                  m1 alone on one side
  hoist lab cut m1 w1 w2            three machines that reach each other and nobody else
  hoist lab cut m1 --from m2        one wire
  hoist lab cut m1 --hears          m1 is heard by nobody, but hears all")]
pub struct CutArgs {
    /// Cut them off from these machines only
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub from: Vec<String>,
    /// Cut one direction: what they send gets nowhere, what is sent to them arrives
    #[arg(long, conflicts_with = "speaks")]
    pub hears: bool,
    /// Cut the other direction: what they send arrives, what is sent to them gets nowhere
    #[arg(long)]
    pub speaks: bool,
    #[command(flatten)]
    pub lab: Which,
    #[arg(value_name = "NODE", required = true)]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist lab heal")]
pub struct HealArgs {
    #[command(flatten)]
    pub lab: Which,
    /// Machines to heal; all when none is named
    #[arg(value_name = "NODE")]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist lab slow w1 --rate 1m")]
pub struct SlowArgs {
    /// Bytes a second that a machine sends at most
    #[arg(long, value_name = "BYTES")]
    pub rate: Option<String>,
    /// How long each packet waits
    #[arg(long, value_name = "DURATION")]
    pub delay: Option<String>,
    /// By how much the delay varies
    #[arg(long, value_name = "DURATION", requires = "delay")]
    pub jitter: Option<String>,
    /// Packets lost, in percent
    #[arg(long, value_name = "PERCENT")]
    pub loss: Option<f64>,
    #[command(flatten)]
    pub lab: Which,
    #[arg(value_name = "NODE", required = true)]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist lab kill m1")]
pub struct KillArgs {
    /// Only the daemon: containers go on
    #[arg(long)]
    pub daemon: bool,
    #[command(flatten)]
    pub lab: Which,
    #[arg(value_name = "NODE", required = true)]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist lab start m1")]
pub struct NodesArgs {
    #[command(flatten)]
    pub lab: Which,
    #[arg(value_name = "NODE", required = true)]
    pub nodes: Vec<String>,
}
