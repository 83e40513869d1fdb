//! `hoist build`, `hoist builder` and `hoist buildx`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};

// `hoist builder …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum BuilderCommand {
    /// Build an image from a Dockerfile
    Build(Box<BuildArgs>),
    /// Remove build cache
    Prune(PruneArgs),
}

// `hoist buildx …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum BuildxCommand {
    /// Build an image from a Dockerfile
    #[command(visible_alias = "b")]
    Build(Box<BuildArgs>),
    /// Show what the build cache holds
    Du(DuArgs),
    /// Show the builder
    Inspect(NoArgs),
    /// List builders: there is one
    Ls(NoArgs),
    /// Remove build cache
    Prune(PruneArgs),
    /// Show the version
    Version(NoArgs),
}

/// How a build is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Live lines on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// Live lines: running steps with the last they wrote
    Tty,
    /// A line for each thing that happens
    Plain,
    /// A JSON object for each thing that happens
    Rawjson,
    /// Nothing but errors
    #[value(alias = "none")]
    Quiet,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  hoist build -t app .
  hoist build -t app --target test --build-arg VERSION=2 -f docker/Dockerfile .
  hoist build --secret id=token,src=token.txt --output type=local,dest=out .
  hoist build --check .")]
pub struct BuildArgs {
    /// Name for the image; may be given several times
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    pub tags: Vec<String>,
    /// The Dockerfile; - for standard input [default: PATH/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,
    /// Stage to build [default: the last one]
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Value of an ARG; without one it is taken from the environment
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub build_args: Vec<String>,
    /// Further context: a directory or docker-image://NAME; stands for a stage or image of that name
    #[arg(long = "build-context", value_name = "NAME=WHERE")]
    pub build_contexts: Vec<String>,
    /// Platform to build for: OS/ARCH[/VARIANT]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Label of the image
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,
    /// Annotation of the image's manifest
    #[arg(long = "annotation", value_name = "NAME=VALUE")]
    pub annotations: Vec<String>,
    /// Run every step again
    #[arg(long)]
    pub no_cache: bool,
    /// Run the steps of these stages again
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub no_cache_filter: Vec<String>,
    /// Ask the registry for base images even if they are here
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    pub pull: bool,
    /// Secret for RUN --mount=type=secret
    #[arg(long = "secret", value_name = "id=ID[,src=FILE|,env=NAME]")]
    pub secrets: Vec<String>,
    /// Agent socket for RUN --mount=type=ssh
    #[arg(long = "ssh", value_name = "default|ID[=SOCKET]")]
    pub ssh: Vec<String>,
    /// Network of RUN steps: default, none, host, or one by name
    #[arg(long, value_name = "NETWORK", default_value = "default")]
    pub network: String,
    /// Further host name in RUN steps
    #[arg(long = "add-host", value_name = "NAME:ADDRESS")]
    pub add_hosts: Vec<String>,
    /// Size of /dev/shm in RUN steps
    #[arg(long, value_name = "BYTES")]
    pub shm_size: Option<String>,
    /// Limit of processes in RUN steps
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]")]
    pub ulimits: Vec<String>,
    /// Parent cgroup of RUN steps
    #[arg(long, value_name = "CGROUP")]
    pub cgroup_parent: Option<String>,
    /// Allow what is usually forbidden: network.host, security.insecure
    #[arg(long = "allow", value_name = "ENTITLEMENT", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// Where the result goes: a directory, -, or type=local|tar|oci|docker|image|registry|cacheonly[,dest=…]
    #[arg(short, long = "output", value_name = "OUTPUT")]
    pub outputs: Vec<String>,
    /// Put the image among the images here; this is so unless --output says something else
    #[arg(long)]
    pub load: bool,
    /// Send the image to the registries of its names
    #[arg(long)]
    pub push: bool,
    /// Cache to read: an image, or type=registry|local,…
    #[arg(long = "cache-from", value_name = "CACHE")]
    pub cache_from: Vec<String>,
    /// Cache to write: type=inline|registry|local,…
    #[arg(long = "cache-to", value_name = "CACHE")]
    pub cache_to: Vec<String>,
    /// Write the image's id to a file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
    /// Write what is known of the result to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_enum, value_name = "HOW", env = "BUILDKIT_PROGRESS", hide_env = true, default_value = "auto")]
    pub progress: Progress,
    /// Print only the image's id
    #[arg(short, long)]
    pub quiet: bool,
    /// Only check the Dockerfile: nothing is built
    #[arg(long)]
    pub check: bool,
    // No container of a step outlives it, so that both are always so.
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    pub rm: bool,
    #[arg(long, hide = true)]
    pub force_rm: bool,
    /// Directory, git URL, or - for an archive or a Dockerfile on standard input
    #[arg(value_name = "PATH|URL|-")]
    pub context: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist builder prune --keep-storage 10GB")]
pub struct PruneArgs {
    /// Remove everything that is not in use
    #[arg(short, long)]
    pub all: bool,
    /// Remove only what matches: until=24h, id=…, type=…
    #[arg(long = "filter", value_name = "FILTER")]
    pub filters: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Bytes of cache to keep
    #[arg(long, visible_alias = "max-used-space", value_name = "BYTES")]
    pub keep_storage: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist buildx du --verbose")]
pub struct DuArgs {
    /// Show all that is known of each entry
    #[arg(long)]
    pub verbose: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist buildx ls")]
pub struct NoArgs {}
