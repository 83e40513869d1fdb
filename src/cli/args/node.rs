//! Commands on nodes.

use clap::{Args, Subcommand};

use super::{ListFormat, service::TaskList};

// `hoist node …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum NodeCommand {
    /// Make managers workers
    Demote(NamesArgs),
    /// Show all that is known of nodes
    Inspect(InspectArgs),
    /// List nodes
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Make workers managers
    Promote(NamesArgs),
    /// List tasks of nodes
    Ps(PsArgs),
    /// Remove nodes from the cluster
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
    /// Change a node
    Update(UpdateArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist node promote worker1")]
pub struct NamesArgs {
    #[arg(value_name = "NODE", required = true)]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist node inspect --pretty self")]
pub struct InspectArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// For people to read
    #[arg(long)]
    pub pretty: bool,
    #[arg(value_name = "self|NODE", required = true)]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist node ls --filter role=manager")]
pub struct LsArgs {
    /// Only those that match, such as role=manager, name=TEXT, node.label=KEY
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show ids only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist node ps worker1")]
pub struct PsArgs {
    #[command(flatten)]
    pub list: TaskList,
    #[arg(value_name = "self|NODE")]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist node rm worker1")]
pub struct RmArgs {
    /// Remove a node that is there
    #[arg(short, long)]
    pub force: bool,
    #[arg(value_name = "NODE", required = true)]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist node update --availability drain worker1")]
pub struct UpdateArgs {
    /// active, pause or drain
    #[arg(long, value_name = "WORD")]
    pub availability: Option<String>,
    /// Add or change a label
    #[arg(long = "label-add", value_name = "KEY[=VALUE]")]
    pub label_add: Vec<String>,
    /// Remove a label
    #[arg(long = "label-rm", value_name = "KEY")]
    pub label_rm: Vec<String>,
    /// worker or manager
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    #[arg(value_name = "NODE")]
    pub node: String,
}
