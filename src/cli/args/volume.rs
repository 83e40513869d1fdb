//! Commands on volumes.

use clap::{Args, Subcommand};

use super::ListFormat;

// `hoist volume …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum VolumeCommand {
    /// Create a volume
    Create(CreateArgs),
    /// Show all that is known of volumes
    Inspect(InspectArgs),
    /// List volumes
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Remove volumes that no container uses
    Prune(PruneArgs),
    /// Remove volumes
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hoist volume create data
  hoist volume create -o type=nfs -o o=addr=10.0.0.5,rw -o device=:/srv shared")]
pub struct CreateArgs {
    /// Driver
    #[arg(short, long, value_name = "NAME", default_value = "local")]
    pub driver: String,
    /// Label
    #[arg(long = "label", value_name = "KEY[=VALUE]")]
    pub labels: Vec<String>,
    /// Option for the driver
    #[arg(short, long = "opt", value_name = "KEY=VALUE")]
    pub opts: Vec<String>,
    /// Name, as old scripts give it
    #[arg(long = "name", value_name = "NAME", hide = true)]
    pub old_name: Option<String>,
    /// Name; a random one when none is given
    #[arg(value_name = "VOLUME")]
    pub name: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist volume inspect -f '{{.Mountpoint}}' data")]
pub struct InspectArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    #[arg(value_name = "VOLUME", required = true)]
    pub volumes: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist volume ls -q --filter dangling=true")]
pub struct LsArgs {
    /// Only those that match, such as dangling=true, name=TEXT, label=KEY
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show names only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist volume prune -a")]
pub struct PruneArgs {
    /// Named ones too, not only anonymous ones
    #[arg(short, long)]
    pub all: bool,
    /// Only those that match, such as label=KEY
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist volume rm data")]
pub struct RmArgs {
    /// No error when there is no such volume
    #[arg(short, long)]
    pub force: bool,
    #[arg(value_name = "VOLUME", required = true)]
    pub volumes: Vec<String>,
}
