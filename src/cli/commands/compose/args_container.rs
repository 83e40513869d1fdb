//! The flags of the commands that work on one container of a service.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::args_up::PullChoice;

#[derive(Debug, Args)]
pub struct AttachArgs {
    pub service: String,
    /// Which container of the service.
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// Keys that detach, such as `ctrl-p,ctrl-q`.
    #[arg(long)]
    pub detach_keys: Option<String>,
    /// Do not attach standard input.
    #[arg(long)]
    pub no_stdin: bool,
    /// Pass signals on to the process.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub sig_proxy: bool,
}

#[derive(Debug, Args)]
pub struct CommitArgs {
    pub service: String,
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub reference: Option<String>,
    /// Which container of the service.
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    #[arg(short, long)]
    pub author: Option<String>,
    /// Dockerfile instruction to apply.
    #[arg(short, long)]
    pub change: Vec<String>,
    #[arg(short, long)]
    pub message: Option<String>,
    /// Pause the container meanwhile.
    #[arg(short, long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub pause: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist compose cp web:/etc/hosts .")]
pub struct CpArgs {
    /// `SERVICE:PATH` or a local path; `-` is a tar archive on standard input.
    pub source: String,
    /// `SERVICE:PATH` or a local path; `-` is standard output.
    pub destination: String,
    /// Also containers made by `run`.
    #[arg(long)]
    pub all: bool,
    /// Keep user and group ids.
    #[arg(short, long)]
    pub archive: bool,
    /// Follow symbolic links in the source.
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Which container of the service.
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist compose exec web sh")]
pub struct ExecArgs {
    pub service: String,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// In the background.
    #[arg(short, long)]
    pub detach: bool,
    /// `KEY=VALUE`.
    #[arg(short, long)]
    pub env: Vec<String>,
    /// Which container of the service.
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// Keep standard input open (as it is by default).
    #[arg(short, long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub interactive: bool,
    /// No terminal, even where there is one.
    #[arg(short = 'T', long = "no-tty", visible_alias = "no-TTY")]
    pub no_tty: bool,
    /// A terminal (as by default where there is one).
    #[arg(short, long, conflicts_with = "no_tty")]
    pub tty: bool,
    #[arg(long)]
    pub privileged: bool,
    #[arg(short, long)]
    pub user: Option<String>,
    #[arg(short, long)]
    pub workdir: Option<String>,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    pub service: String,
    /// Which container of the service.
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// Write to a file.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist compose run --rm web sh -c 'env | sort'")]
pub struct RunArgs {
    pub service: String,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Build the image first.
    #[arg(long)]
    pub build: bool,
    #[arg(long)]
    pub cap_add: Vec<String>,
    #[arg(long)]
    pub cap_drop: Vec<String>,
    /// In the background; prints the container's id.
    #[arg(short, long)]
    pub detach: bool,
    /// Instead of the image's.
    #[arg(long)]
    pub entrypoint: Option<String>,
    /// `KEY=VALUE`.
    #[arg(short, long)]
    pub env: Vec<String>,
    /// File with variables for the container.
    #[arg(long, value_name = "FILE")]
    pub env_from_file: Vec<PathBuf>,
    /// Keep standard input open (as it is by default).
    #[arg(short, long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub interactive: bool,
    /// `KEY=VALUE`.
    #[arg(short, long)]
    pub label: Vec<String>,
    /// Name of the container.
    #[arg(long)]
    pub name: Option<String>,
    /// Do not bring up what the service depends on.
    #[arg(long)]
    pub no_deps: bool,
    /// No terminal, even where there is one.
    #[arg(short = 'T', long = "no-tty", visible_alias = "no-TTY")]
    pub no_tty: bool,
    /// A terminal (as by default where there is one).
    #[arg(short, long, conflicts_with = "no_tty")]
    pub tty: bool,
    /// Publish a port.
    #[arg(short, long)]
    pub publish: Vec<String>,
    /// When to fetch the image.
    #[arg(long, value_enum, default_value = "policy")]
    pub pull: PullChoice,
    /// Print nothing of our own.
    #[arg(short, long)]
    pub quiet: bool,
    /// No output of building.
    #[arg(long)]
    pub quiet_build: bool,
    /// No progress of fetching the image.
    #[arg(long)]
    pub quiet_pull: bool,
    /// Remove containers of services that the file does not have.
    #[arg(long)]
    pub remove_orphans: bool,
    /// Remove the container when it has ended.
    #[arg(long)]
    pub rm: bool,
    /// Publish the service's ports.
    #[arg(short = 'P', long, conflicts_with = "publish")]
    pub service_ports: bool,
    /// Use the service's aliases on its networks.
    #[arg(long)]
    pub use_aliases: bool,
    #[arg(short, long)]
    pub user: Option<String>,
    /// Mount a volume.
    #[arg(short, long)]
    pub volume: Vec<String>,
    #[arg(short, long)]
    pub workdir: Option<String>,
}
