//! Commands on GPUs of all nodes.

use clap::{Args, Subcommand};

use super::ListFormat;

// `hoist gpu …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum GpuCommand {
    /// List the GPUs of all nodes, what they do and who holds them
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show what GPUs do, over and over
    Top(TopArgs),
    /// Give GPUs to nobody until they are returned; who holds one keeps it
    Drain(DrainArgs),
    /// Give GPUs again that were drained or were found faulty
    Return(ReturnArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist gpu ls --format '{{.Node}} {{.Device}} {{.Utilisation}}'")]
pub struct LsArgs {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show names only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Which {
    /// Only this node's
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// Devices of all kinds, not only GPUs
    #[arg(short, long)]
    pub all: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist gpu top --no-stream --format json")]
pub struct TopArgs {
    #[command(flatten)]
    pub which: Which,
    /// Show once and end
    #[arg(long)]
    pub no_stream: bool,
    #[command(flatten)]
    pub format: ListFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist gpu drain --node lab2 --reason 'fan is broken' nvidia.com/gpu=3")]
pub struct DrainArgs {
    /// The node that has them [default: this one]
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// What is told to who asks for it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[arg(value_name = "KIND=NAME", required = true)]
    pub devices: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist gpu return --node lab2 nvidia.com/gpu=3")]
pub struct ReturnArgs {
    /// The node that has them [default: this one]
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    #[arg(value_name = "KIND=NAME", required = true)]
    pub devices: Vec<String>,
}
