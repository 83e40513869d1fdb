//! Commands on secrets and configs, which have the same shape.

use clap::{Args, Subcommand};

use super::ListFormat;

// `hoist secret …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum SecretCommand {
    /// Keep a secret: from a file, or standard input
    Create(SecretCreateArgs),
    /// Show all that is known of secrets, but what they hold
    Inspect(InspectArgs),
    /// List secrets
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Remove secrets
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
    /// Put a new content in place, and replace the tasks of the services that use it
    Update(UpdateArgs),
}

// `hoist config …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum ConfigCommand {
    /// Keep a config: from a file, or standard input
    Create(CreateArgs),
    /// Show all that is known of configs
    Inspect(InspectArgs),
    /// List configs
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Remove configs
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
    /// Put a new content in place, and replace the tasks of the services that use it
    Update(UpdateArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  printf s3cret | hoist secret create key -")]
pub struct SecretCreateArgs {
    /// Driver that knows the content
    #[arg(short, long, value_name = "DRIVER")]
    pub driver: Option<String>,
    #[command(flatten)]
    pub plain: CreateArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist config create nginx.conf ./nginx.conf")]
pub struct CreateArgs {
    /// Label
    #[arg(short, long = "label", value_name = "KEY[=VALUE]")]
    pub labels: Vec<String>,
    /// What fills the text in where it is used: golang
    #[arg(long, value_name = "DRIVER")]
    pub template_driver: Option<String>,
    #[arg(value_name = "NAME")]
    pub name: String,
    /// File; - is standard input
    #[arg(value_name = "FILE")]
    pub file: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist secret update key ./new-key")]
pub struct UpdateArgs {
    /// Return at once instead of waiting until the services that use it are updated
    #[arg(short, long)]
    pub detach: bool,
    /// Say nothing of how it goes
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(value_name = "NAME")]
    pub name: String,
    /// File; - is standard input
    #[arg(value_name = "FILE")]
    pub file: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist secret inspect --pretty key")]
pub struct InspectArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// For people
    #[arg(long)]
    pub pretty: bool,
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist secret ls --filter name=key")]
pub struct LsArgs {
    /// Only those that match: id, label, name
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show ids only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist secret rm key")]
pub struct RmArgs {
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
}
