//! Commands on devices.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::ListFormat;

// `hoist device …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum DeviceCommand {
    /// Work with CDI specifications
    #[command(
        subcommand_required = true,
        arg_required_else_help = true,
        after_help = "Example:\n  hoist device cdi generate --output /etc/cdi/nvidia.yaml"
    )]
    Cdi {
        #[command(subcommand)]
        command: CdiCommand,
    },
    /// Show all that is known of devices
    Inspect(InspectArgs),
    /// List devices and who holds them
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Give devices again that were set aside
    Return(ReturnArgs),
    /// Give devices to nobody until they are returned
    SetAside(SetAsideArgs),
}

#[derive(Debug, Subcommand)]
pub enum CdiCommand {
    /// Write a CDI specification of a driver's devices
    Generate(GenerateArgs),
    /// List the names that --device takes
    List(CdiListArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist device ls --format '{{.Name}}\\t{{.Holders}}'")]
pub struct LsArgs {
    #[command(flatten)]
    pub format: ListFormat,
    /// Show names only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist device inspect -f '{{.Model}}' nvidia.com/gpu=0")]
pub struct InspectArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    #[arg(value_name = "KIND=NAME", required = true)]
    pub devices: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist device set-aside --reason 'fan is broken' nvidia.com/gpu=3")]
pub struct SetAsideArgs {
    /// What is told to who asks for it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    #[arg(value_name = "KIND=NAME", required = true)]
    pub devices: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist device return nvidia.com/gpu=3")]
pub struct ReturnArgs {
    #[arg(value_name = "KIND=NAME", required = true)]
    pub devices: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist device cdi generate --output /etc/cdi/nvidia.yaml")]
pub struct GenerateArgs {
    /// Kind of devices, such as nvidia.com/gpu [default: the first there is]
    #[arg(long, value_name = "KIND", default_value = "")]
    pub kind: String,
    /// File to write to [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Form of the file [default: by its ending, else yaml]
    #[arg(long, value_enum)]
    pub format: Option<Form>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Json,
    Yaml,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist device cdi list")]
pub struct CdiListArgs {}
