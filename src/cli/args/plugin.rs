//! Commands on plugins, of which there are none.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::ListFormat;

// `hoist plugin …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum PluginCommand {
    /// Not supported: make a plugin
    Create(RefusedArgs),
    /// Switch a plugin off
    Disable(NamedArgs),
    /// Switch a plugin on
    Enable(NamedArgs),
    /// Show all that is known of plugins
    Inspect(InspectArgs),
    /// Not supported: fetch a plugin
    Install(RefusedArgs),
    /// List plugins
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Send a plugin to a registry
    Push(NamedArgs),
    /// Remove plugins
    #[command(visible_alias = "remove")]
    Rm(NamesArgs),
    /// Change a plugin's settings
    Set(SetArgs),
    /// Fetch a newer plugin
    Upgrade(NamedArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist plugin ls")]
pub struct LsArgs {
    /// Only those that match, such as enabled=true
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show whole ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    #[arg(value_name = "PLUGIN", required = true)]
    pub plugins: Vec<String>,
}

#[derive(Debug, Args)]
pub struct NamedArgs {
    #[arg(value_name = "PLUGIN")]
    pub plugin: String,
}

#[derive(Debug, Args)]
pub struct NamesArgs {
    /// Also one that is in use
    #[arg(short, long)]
    pub force: bool,
    #[arg(value_name = "PLUGIN", required = true)]
    pub plugins: Vec<String>,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    #[arg(value_name = "PLUGIN")]
    pub plugin: String,
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub values: Vec<String>,
}

// What follows is read by nobody: the command is refused.
#[derive(Debug, Args)]
pub struct RefusedArgs {
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}
