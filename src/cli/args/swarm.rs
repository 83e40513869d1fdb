//! Commands on the cluster.

use std::path::PathBuf;

use clap::{Args, Subcommand};

// `hoist swarm …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum SwarmCommand {
    /// Show the root certificate, or replace it
    Ca(CaArgs),
    /// Make this machine the first manager of a cluster
    Init(InitArgs),
    /// Take this machine into a cluster
    Join(JoinArgs),
    /// Show how others join, or change the token
    JoinToken(JoinTokenArgs),
    /// Take this machine out of its cluster
    Leave(LeaveArgs),
    /// Save the swarm's whole state, or begin again with it
    #[command(after_help = "Example:\n  hoist swarm snapshot save swarm.snapshot")]
    Snapshot {
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Unlock a manager that has started
    #[command(after_help = "Example:\n  hoist swarm unlock < key")]
    Unlock,
    /// Show the unlock key, or change it
    UnlockKey(UnlockKeyArgs),
    /// Change what is set on the cluster
    Update(UpdateArgs),
}

// `hoist swarm snapshot …`
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Make this machine the only manager of a swarm that was saved
    Restore(RestoreArgs),
    /// Save the swarm's whole state, sealed with a key
    Save(SaveArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist swarm snapshot save swarm.snapshot")]
pub struct SaveArgs {
    /// File with the key to seal it with [default: a new key, which is shown]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Show the key only
    #[arg(short, long)]
    pub quiet: bool,
    /// Where to
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist swarm snapshot restore swarm.snapshot < key")]
pub struct RestoreArgs {
    /// Address by which others reach this machine: ADDRESS or INTERFACE, with :PORT
    #[arg(long, value_name = "ADDRESS")]
    pub advertise_addr: Option<String>,
    /// Address for traffic between containers
    #[arg(long, value_name = "ADDRESS")]
    pub data_path_addr: Option<String>,
    /// File with the snapshot's key [default: standard input]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Where to listen for other nodes
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:2377")]
    pub listen_addr: String,
    /// What `snapshot save` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

// What `init`, `update` and `ca` share.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// Life of nodes' certificates [default: 2160h]
    #[arg(long, value_name = "DURATION")]
    pub cert_expiry: Option<String>,
    /// How often agents call; after three silent periods a node is down [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub dispatcher_heartbeat: Option<String>,
    /// Certificate signing endpoint; not supported
    #[arg(long, value_name = "SPEC")]
    pub external_ca: Vec<String>,
    /// Snapshots kept beside the newest; only 0 is supported
    #[arg(long, value_name = "N")]
    pub max_snapshots: Option<u64>,
    /// Log entries between two snapshots [default: 10000]
    #[arg(long, value_name = "N")]
    pub snapshot_interval: Option<u64>,
    /// Ended tasks kept for each slot [default: 5]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub task_history_limit: Option<i64>,
    /// Managers need a key when they start
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub autolock: Option<bool>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist swarm init --advertise-addr 10.0.0.1")]
pub struct InitArgs {
    /// Address by which others reach this machine: ADDRESS or INTERFACE, with :PORT
    #[arg(long, value_name = "ADDRESS")]
    pub advertise_addr: Option<String>,
    /// active, pause or drain
    #[arg(long, value_name = "WORD", default_value = "active")]
    pub availability: String,
    /// Address for traffic between containers
    #[arg(long, value_name = "ADDRESS")]
    pub data_path_addr: Option<String>,
    /// UDP port of traffic between containers; 0 is 4789
    #[arg(long, value_name = "PORT", default_value = "0")]
    pub data_path_port: u16,
    /// Range of addresses from which networks across machines get theirs
    #[arg(long = "default-addr-pool", value_name = "CIDR")]
    pub default_addr_pools: Vec<String>,
    /// Prefix length of such networks
    #[arg(long, value_name = "N", default_value = "24")]
    pub default_addr_pool_mask_length: u8,
    /// Make a cluster of what this manager knows, without the other managers
    #[arg(long)]
    pub force_new_cluster: bool,
    /// Where to listen for other nodes
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:2377")]
    pub listen_addr: String,
    #[command(flatten)]
    pub settings: Settings,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist swarm join --token SWMTKN-1-… 10.0.0.1:2377")]
pub struct JoinArgs {
    /// Address by which others reach this machine [default: the one that the manager sees]
    #[arg(long, value_name = "ADDRESS")]
    pub advertise_addr: Option<String>,
    /// active, pause or drain
    #[arg(long, value_name = "WORD", default_value = "active")]
    pub availability: String,
    /// Address for traffic between containers
    #[arg(long, value_name = "ADDRESS")]
    pub data_path_addr: Option<String>,
    /// Where to listen for other nodes
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:2377")]
    pub listen_addr: String,
    /// Token that lets this machine in (see hoist swarm join-token)
    #[arg(long, value_name = "TOKEN")]
    pub token: String,
    /// A manager
    #[arg(value_name = "HOST:PORT")]
    pub manager: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist swarm join-token -q worker")]
pub struct JoinTokenArgs {
    /// Show the token only
    #[arg(short, long)]
    pub quiet: bool,
    /// Make a new token; the old one lets nobody in any more
    #[arg(long)]
    pub rotate: bool,
    /// worker or manager
    #[arg(value_name = "ROLE")]
    pub role: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist swarm leave --force")]
pub struct LeaveArgs {
    /// Leave although this node is a manager
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist swarm unlock-key --rotate")]
pub struct UnlockKeyArgs {
    /// Show the key only
    #[arg(short, long)]
    pub quiet: bool,
    /// Make a new key
    #[arg(long)]
    pub rotate: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist swarm update --dispatcher-heartbeat 1s")]
pub struct UpdateArgs {
    #[command(flatten)]
    pub settings: Settings,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist swarm ca --rotate")]
pub struct CaArgs {
    /// Certificate of the new root, in PEM
    #[arg(long, value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,
    /// Key of the new root, in PEM
    #[arg(long, value_name = "FILE")]
    pub ca_key: Option<PathBuf>,
    /// Life of nodes' certificates
    #[arg(long, value_name = "DURATION")]
    pub cert_expiry: Option<String>,
    /// Do not wait until all nodes have new certificates
    #[arg(short, long)]
    pub detach: bool,
    /// Certificate signing endpoint; not supported
    #[arg(long, value_name = "SPEC")]
    pub external_ca: Vec<String>,
    /// Say nothing while waiting
    #[arg(short, long)]
    pub quiet: bool,
    /// Replace the root, by a new one or by --ca-cert and --ca-key
    #[arg(long)]
    pub rotate: bool,
}
