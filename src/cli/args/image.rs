//! Commands on images.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ListFormat;

// `hoist image …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum ImageCommand {
    /// Build an image from a Dockerfile
    Build(Box<super::build::BuildArgs>),
    /// Show the steps that made an image
    History(HistoryArgs),
    /// Make an image of a file system in a tar archive
    Import(ImportArgs),
    /// Show all that is known of images
    Inspect(InspectArgs),
    /// Read images from a tar archive
    Load(LoadArgs),
    /// List images
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Remove images that nothing uses
    Prune(PruneArgs),
    /// Fetch an image from a registry
    Pull(PullArgs),
    /// Send an image to a registry
    Push(PushArgs),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
    /// Write images to a tar archive
    Save(SaveArgs),
    /// Give an image a further name
    Tag(TagArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist history --no-trunc nginx")]
pub struct HistoryArgs {
    #[command(flatten)]
    pub format: ListFormat,
    /// Sizes and dates for people
    #[arg(short = 'H', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    pub human: bool,
    /// Show whole commands
    #[arg(long)]
    pub no_trunc: bool,
    /// Of this platform: OS[/ARCH[/VARIANT]]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Show ids only
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist import -c 'CMD [\"/bin/sh\"]' rootfs.tar mine:1")]
pub struct ImportArgs {
    /// Dockerfile instruction applied to the image
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    pub changes: Vec<String>,
    /// Message of the image's history
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Platform of the image: OS[/ARCH[/VARIANT]]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Archive (plain, gzip or zstd), URL, or - for standard input
    #[arg(value_name = "FILE|URL|-", allow_hyphen_values = true)]
    pub source: String,
    /// Name of the new image
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub image: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist image inspect -f '{{.Config.Cmd}}' nginx")]
pub struct InspectArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Of this platform: OS[/ARCH[/VARIANT]]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist load -i images.tar")]
pub struct LoadArgs {
    /// Read from a file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Only these platforms: OS[/ARCH[/VARIANT]]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Say less
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hoist images --filter dangling=true
  hoist images --format '{{.Repository}}:{{.Tag}} {{.Size}}'")]
pub struct LsArgs {
    /// Show those without a name too
    #[arg(short, long)]
    pub all: bool,
    /// Show digests
    #[arg(long)]
    pub digests: bool,
    /// Only those that match, such as dangling=true, reference=PATTERN, label=KEY
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show whole ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Show ids only
    #[arg(short, long)]
    pub quiet: bool,
    /// List the platform of each image below its names, and what it takes
    #[arg(long, conflicts_with_all = ["quiet", "no_trunc", "digests", "format"])]
    pub tree: bool,
    /// Only this repository, or repository and tag
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub repository: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist image prune -a --filter until=240h")]
pub struct PruneArgs {
    /// All that no container uses, not only those without a name
    #[arg(short, long)]
    pub all: bool,
    /// Only those that match, such as until=24h or label=KEY
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist pull --platform linux/arm64 debian:12")]
pub struct PullArgs {
    /// Fetch every tag of the repository
    #[arg(short, long)]
    pub all_tags: bool,
    /// For this platform: OS[/ARCH[/VARIANT]]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Print the name only
    #[arg(short, long)]
    pub quiet: bool,
    /// How to show progress
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub progress: crate::cli::progress::Mode,
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    pub image: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist push registry.example.com/team/app:1.2")]
pub struct PushArgs {
    /// Send every tag of the repository
    #[arg(short, long)]
    pub all_tags: bool,
    /// Only this platform: OS[/ARCH[/VARIANT]]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Print the name only
    #[arg(short, long)]
    pub quiet: bool,
    /// How to show progress
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub progress: crate::cli::progress::Mode,
    #[arg(value_name = "NAME[:TAG]")]
    pub image: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist rmi debian:11 mine:old")]
pub struct RmArgs {
    /// Even when containers or further names use them
    #[arg(short, long)]
    pub force: bool,
    /// Keep parents without a name
    #[arg(long)]
    pub no_prune: bool,
    /// Only this platform: OS[/ARCH[/VARIANT]]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub platform: Vec<String>,
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist save -o images.tar web:1 db:1")]
pub struct SaveArgs {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Only these platforms: OS[/ARCH[/VARIANT]]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub platform: Vec<String>,
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist tag app:latest registry.example.com/team/app:1.2")]
pub struct TagArgs {
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    pub source: String,
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    pub target: String,
}
