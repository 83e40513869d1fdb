//! Commands on stacks.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};

use super::{ListFormat, service::TaskList};

// `hoist stack …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum StackCommand {
    /// Print what the files say once they are merged and filled in
    Config(ConfigArgs),
    /// Deploy a stack, or change one
    #[command(visible_alias = "up")]
    Deploy(DeployArgs),
    /// List stacks
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// List the tasks of a stack
    Ps(PsArgs),
    /// Remove stacks
    #[command(visible_aliases = ["remove", "down"])]
    Rm(RmArgs),
    /// List the services of a stack
    Services(ServicesArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist stack config -c compose.yaml")]
pub struct ConfigArgs {
    /// Compose file; - is standard input
    #[arg(short, long = "compose-file", value_name = "FILE", value_delimiter = ',')]
    pub compose_files: Vec<PathBuf>,
    /// Leave variables as they are
    #[arg(long)]
    pub skip_interpolation: bool,
}

/// When a registry is asked what an image's name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Resolve {
    Always,
    /// When the image is another than before
    Changed,
    Never,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist stack deploy -c compose.yaml --prune shop")]
pub struct DeployArgs {
    /// Compose file; - is standard input [default: those of this directory]
    #[arg(short, long = "compose-file", value_name = "FILE", value_delimiter = ',')]
    pub compose_files: Vec<PathBuf>,
    /// Return at once; --detach=false waits until all services are as asked for
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", action = ArgAction::Set)]
    pub detach: bool,
    /// Remove services that the files no longer name
    #[arg(long)]
    pub prune: bool,
    /// Say nothing of how it goes
    #[arg(short, long)]
    pub quiet: bool,
    /// When registries are asked for digests
    #[arg(long, value_enum, value_name = "WHEN", default_value = "always")]
    pub resolve_image: Resolve,
    /// Send the registries' credentials to the nodes
    #[arg(long)]
    pub with_registry_auth: bool,
    #[arg(value_name = "STACK")]
    pub stack: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist stack ls --format '{{.Name}}'")]
pub struct LsArgs {
    #[command(flatten)]
    pub format: ListFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist stack ps --filter desired-state=running shop")]
pub struct PsArgs {
    #[command(flatten)]
    pub list: TaskList,
    #[arg(value_name = "STACK")]
    pub stack: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist stack rm shop")]
pub struct RmArgs {
    /// Return at once; --detach=false waits until all is gone
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", action = ArgAction::Set)]
    pub detach: bool,
    #[arg(value_name = "STACK", required = true)]
    pub stacks: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist stack services shop")]
pub struct ServicesArgs {
    /// Only those that match: id, label, mode, name
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show ids only
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(value_name = "STACK")]
    pub stack: String,
}
