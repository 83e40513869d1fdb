//! Commands on the daemon as a whole, and on objects of any kind.

use clap::{Args, Subcommand, ValueEnum};

use super::ListFormat;

// `hoist system …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum SystemCommand {
    /// Show what takes up disk space
    Df(DfArgs),
    /// Watch what happens
    Events(EventsArgs),
    /// Show what the daemon is and has
    Info(InfoArgs),
    /// Remove what nothing uses
    Prune(PruneArgs),
    /// Join standard input and output to the daemon's socket
    #[command(hide = true)]
    DialStdio,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist system df -v")]
pub struct DfArgs {
    #[command(flatten)]
    pub format: ListFormat,
    /// Show each image, container and volume
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hoist events --since 10m --until 0s
  hoist events --filter type=container --format '{{.Action}} {{.Actor.Attributes.name}}'")]
pub struct EventsArgs {
    /// Only those that match, such as type=container, event=die, container=NAME
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    /// json or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// From this time on: 2026-01-02T13:23:37Z, or 42m ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist info -f '{{.CgroupVersion}}'")]
pub struct InfoArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist version -f '{{.Server.Version}}'")]
pub struct VersionArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist system prune -a --volumes")]
pub struct PruneArgs {
    /// All images that no container uses, not only those without a name
    #[arg(short, long)]
    pub all: bool,
    /// Only those that match, such as until=24h or label=KEY
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Anonymous volumes too
    #[arg(long)]
    pub volumes: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hoist inspect web
  hoist inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' web
  hoist inspect --type volume data")]
pub struct InspectArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Show the sizes of containers' file systems
    #[arg(short, long)]
    pub size: bool,
    /// Only objects of this kind
    #[arg(long = "type", value_name = "KIND")]
    pub kind: Option<ObjectKind>,
    #[arg(value_name = "NAME|ID", required = true)]
    pub names: Vec<String>,
}

/// What `inspect --type` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ObjectKind {
    Container,
    Image,
    Network,
    Volume,
    Service,
    Task,
    Node,
    Plugin,
    Secret,
    Config,
}
