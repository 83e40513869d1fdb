//! Commands on checkpoints of containers.

use clap::{Args, Subcommand};

// `hoist checkpoint …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum CheckpointCommand {
    /// Write the processes of a running container to the disk, and end it
    Create(CreateArgs),
    /// List a container's checkpoints
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Remove a checkpoint
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Needs the program criu on the daemon's machine.\n\nExamples:
  hoist checkpoint create web before-lunch && hoist start --checkpoint before-lunch web
  hoist checkpoint create --leave-running --checkpoint-dir /srv/checkpoints web noon")]
pub struct CreateArgs {
    /// Make it below this directory of the daemon's machine; else it goes with the container
    #[arg(long, value_name = "DIR")]
    pub checkpoint_dir: Option<String>,
    /// The container goes on
    #[arg(long)]
    pub leave_running: bool,
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// The checkpoint's name
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist checkpoint ls web")]
pub struct LsArgs {
    /// List those below this directory of the daemon's machine
    #[arg(long, value_name = "DIR")]
    pub checkpoint_dir: Option<String>,
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist checkpoint rm web before-lunch")]
pub struct RmArgs {
    /// It is below this directory of the daemon's machine
    #[arg(long, value_name = "DIR")]
    pub checkpoint_dir: Option<String>,
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// The checkpoint's name
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: String,
}
