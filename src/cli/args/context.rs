//! Commands on contexts: daemons that a person has given a name.

use clap::{Args, Subcommand};

use super::ListFormat;

// `hoist context …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum ContextCommand {
    /// Give a daemon a name
    Create(CreateArgs),
    /// Write a context to an archive
    Export(ExportArgs),
    /// Read a context from an archive
    Import(ImportArgs),
    /// Show all that is known of contexts
    Inspect(InspectArgs),
    /// List contexts
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Remove contexts
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
    /// Print the name of the current context
    #[command(after_help = "Example:\n  hoist context show")]
    Show,
    /// Change a context
    Update(UpdateArgs),
    /// Choose the context that commands use from now on
    Use(UseArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  hoist context create far --docker host=tcp://10.0.0.1:2376,ca=ca.pem,cert=cert.pem,key=key.pem")]
pub struct CreateArgs {
    /// A word on what it is
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// The daemon: host=URL, and for TLS ca=FILE, cert=FILE, key=FILE
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub docker: Option<String>,
    /// Begin with what another context has
    #[arg(long, value_name = "CONTEXT", conflicts_with = "docker")]
    pub from: Option<String>,
    #[arg(value_name = "CONTEXT")]
    pub name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist context update far --description 'the machine in the cellar'")]
pub struct UpdateArgs {
    /// A word on what it is
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// The daemon: host=URL, and for TLS ca=FILE, cert=FILE, key=FILE
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub docker: Option<String>,
    #[arg(value_name = "CONTEXT")]
    pub name: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hoist context export far far.tar; then elsewhere: hoist context import far far.tar"
)]
pub struct ExportArgs {
    #[arg(value_name = "CONTEXT")]
    pub name: String,
    /// - is standard output [default: CONTEXT.dockercontext]
    #[arg(value_name = "FILE")]
    pub file: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist context import far far.tar")]
pub struct ImportArgs {
    #[arg(value_name = "CONTEXT")]
    pub name: String,
    /// - is standard input
    #[arg(value_name = "FILE")]
    pub file: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist context inspect -f '{{.Endpoints.docker.Host}}' far")]
pub struct InspectArgs {
    /// A Go template, or json
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// The current one when none is named
    #[arg(value_name = "CONTEXT")]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist context ls")]
pub struct LsArgs {
    #[command(flatten)]
    pub format: ListFormat,
    /// Names only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist context rm far")]
pub struct RmArgs {
    /// Also the one in use; no error when there is no such context
    #[arg(short, long)]
    pub force: bool,
    #[arg(value_name = "CONTEXT", required = true)]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist context use far; hoist ps; hoist context use default")]
pub struct UseArgs {
    #[arg(value_name = "CONTEXT")]
    pub name: String,
}
