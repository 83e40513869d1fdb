//! `hoist build`, `hoist builder` and `hoist buildx`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};

use super::ListFormat;

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
    /// Build several targets of a file
    #[command(visible_alias = "f")]
    Bake(Box<BakeArgs>),
    /// Build an image from a Dockerfile
    #[command(visible_alias = "b")]
    Build(Box<BuildArgs>),
    /// Make a builder: refused, as there is one
    #[command(hide = true)]
    Create(RefusedArgs),
    /// Show what the build cache holds
    Du(DuArgs),
    /// Show builds of the past: refused, as none are kept
    #[command(hide = true)]
    History(RefusedArgs),
    /// Work on images in registries
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Imagetools {
        #[command(subcommand)]
        command: ImagetoolsCommand,
    },
    /// Show the builder
    Inspect(BuilderArgs),
    /// List builders: there is one
    Ls(BuildersArgs),
    /// Remove build cache
    Prune(PruneArgs),
    /// Remove a builder: refused, as there is one
    #[command(hide = true)]
    Rm(RefusedArgs),
    /// Stop a builder: refused, as it is the daemon
    #[command(hide = true)]
    Stop(RefusedArgs),
    /// Choose a builder: there is one, default
    Use(UseArgs),
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
    /// Allow what is usually forbidden: network.host, security.insecure, device[=NAME]
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
    /// Ask about the Dockerfile instead: build, check, outline or targets[,format=text|json]
    #[arg(long, value_name = "METHOD", default_value = "build", hide_default_value = true)]
    pub call: String,
    /// Say how the image was made: true, or mode=min|max[,version=v1|v0.2][,builder-id=URI]
    #[arg(long, value_name = "PROVENANCE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub provenance: Option<String>,
    /// Say which packages the image holds
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub sbom: Option<String>,
    /// The same as --provenance and --sbom: type=provenance|sbom[,…]
    #[arg(long = "attest", value_name = "type=TYPE[,…]")]
    pub attests: Vec<String>,
    /// Limit of memory of RUN steps
    #[arg(short, long, value_name = "BYTES")]
    pub memory: Option<String>,
    /// Limit of memory and swap together of RUN steps; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// CPU weight of RUN steps
    #[arg(short, long, value_name = "N")]
    pub cpu_shares: Option<u64>,
    /// Period of the CPU quota, in microseconds
    #[arg(long, value_name = "N")]
    pub cpu_period: Option<u64>,
    /// CPU time of RUN steps in each period, in microseconds
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    /// CPUs that RUN steps may use, such as 0-2,4
    #[arg(long, value_name = "CPUS")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes that RUN steps may use
    #[arg(long, value_name = "NODES")]
    pub cpuset_mems: Option<String>,
    /// Remove containers of steps: always so, none outlives its step
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = ArgAction::Set)]
    pub rm: bool,
    /// Remove containers of failed steps: always so
    #[arg(long)]
    pub force_rm: bool,
    /// Send the context compressed: needless, as only what changed is sent
    #[arg(long)]
    pub compress: bool,
    #[command(flatten)]
    pub builder: BuilderChoice,
    // Refused with a reason.
    #[arg(long, hide = true)]
    pub squash: bool,
    #[arg(long, hide = true, value_name = "TECHNOLOGY")]
    pub isolation: Option<String>,
    #[arg(long = "security-opt", hide = true, value_name = "OPTION")]
    pub security_opts: Vec<String>,
    /// Directory, git URL, or - for an archive or a Dockerfile on standard input
    #[arg(value_name = "PATH|URL|-")]
    pub context: String,
}

/// What is listed instead of building.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BakeList {
    Targets,
    Variables,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  hoist bake
  hoist bake -f docker-bake.hcl app --set app.args.VERSION=2 --push
  hoist bake --print")]
pub struct BakeArgs {
    /// File in HCL, JSON or Compose's form; may be given several times [default: all of compose.yaml, docker-bake.hcl, … that are here]
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Change a target: TARGET.KEY=VALUE, TARGET may be a pattern; KEY+= adds to a list
    #[arg(long, value_name = "TARGET.KEY=VALUE")]
    pub set: Vec<String>,
    /// Print what would be built, as JSON that can be baked again, and build nothing
    #[arg(long)]
    pub print: bool,
    /// List targets or variables, and build nothing
    #[arg(long, value_enum, value_name = "WHAT")]
    pub list: Option<BakeList>,
    /// Send the images to the registries of their names
    #[arg(long)]
    pub push: bool,
    /// Put the images among the images here
    #[arg(long)]
    pub load: bool,
    /// Run every step again
    #[arg(long)]
    pub no_cache: bool,
    /// Ask registries for base images even if they are here
    #[arg(long)]
    pub pull: bool,
    /// Only check the Dockerfiles: nothing is built
    #[arg(long)]
    pub check: bool,
    /// Build or check
    #[arg(long, value_name = "METHOD", default_value = "build", hide_default_value = true)]
    pub call: String,
    /// Value of a variable of the files: NAME=VALUE
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    #[command(flatten)]
    pub builder: BuilderChoice,
    /// Say how the images were made, as with build
    #[arg(long, value_name = "PROVENANCE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub provenance: Option<String>,
    /// Say which packages the images hold
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub sbom: Option<String>,
    /// Allow what is usually forbidden: network.host, security.insecure, device[=NAME]
    #[arg(long = "allow", value_name = "ENTITLEMENT", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// Write what is known of the results to a file, as JSON by target
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_enum, value_name = "HOW", env = "BUILDKIT_PROGRESS", hide_env = true, default_value = "auto")]
    pub progress: Progress,
    /// Show nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
    /// Targets and groups to build [default: default]
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
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
    /// Bytes of cache that are kept in any case
    #[arg(long, visible_alias = "reserved-space", value_name = "BYTES")]
    pub keep_storage: Option<String>,
    /// Bytes of cache that are kept at most
    #[arg(long, value_name = "BYTES")]
    pub max_used_space: Option<String>,
    /// Bytes that shall be free on the disk afterwards
    #[arg(long, value_name = "BYTES")]
    pub min_free_space: Option<String>,
    #[command(flatten)]
    pub builder: BuilderChoice,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist buildx du --verbose")]
pub struct DuArgs {
    /// Show all that is known of each entry
    #[arg(long)]
    pub verbose: bool,
    /// Show only what matches: id=…, type=…
    #[arg(long = "filter", value_name = "FILTER")]
    pub filters: Vec<String>,
    #[command(flatten)]
    pub format: ListFormat,
    #[command(flatten)]
    pub builder: BuilderChoice,
}

// Which builder works: there is one, the daemon's own.
#[derive(Debug, Clone, Default, Args)]
pub struct BuilderChoice {
    /// Builder to use: there is one, default
    #[arg(id = "builder", long = "builder", value_name = "NAME", env = "BUILDX_BUILDER", hide_env = true)]
    pub name: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist buildx version")]
pub struct NoArgs {}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist buildx ls")]
pub struct BuildersArgs {
    #[command(flatten)]
    pub format: ListFormat,
    /// Nothing is cut anyway
    #[arg(long, hide = true)]
    pub no_trunc: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist buildx inspect --bootstrap")]
pub struct BuilderArgs {
    /// Start the builder: the daemon, which runs anyway
    #[arg(long)]
    pub bootstrap: bool,
    #[command(flatten)]
    pub builder: BuilderChoice,
    /// Builder to show: there is one, default
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist buildx use default")]
pub struct UseArgs {
    /// Stays so for this context: it is always so
    #[arg(long)]
    pub default: bool,
    /// Whatever the context: it is always so
    #[arg(long)]
    pub global: bool,
    /// Builder to use: there is one, default
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Whatever is said to a command that is refused.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist buildx ls")]
pub struct RefusedArgs {
    #[arg(value_name = "ARG", hide = true, num_args = 0.., allow_hyphen_values = true, trailing_var_arg = true)]
    pub rest: Vec<String>,
}

// `hoist buildx imagetools …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum ImagetoolsCommand {
    /// Put images of registries together under new names
    Create(ImagetoolsCreateArgs),
    /// Show what a registry has under a name
    Inspect(ImagetoolsInspectArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hoist buildx imagetools create -t registry.example.com/app:1 registry.example.com/app:1-amd64 registry.example.com/app:1-arm64
  hoist buildx imagetools create --dry-run --append -t registry.example.com/app:1 registry.example.com/app@sha256:…")]
pub struct ImagetoolsCreateArgs {
    /// Name of the result; may be given several times
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    pub tags: Vec<String>,
    /// Add to what has the first name already
    #[arg(long)]
    pub append: bool,
    /// Print the result, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Annotation of the index: NAME=VALUE
    #[arg(long = "annotation", value_name = "NAME=VALUE")]
    pub annotations: Vec<String>,
    /// File with a descriptor of a source, as JSON; its repository is that of the result
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only images for these platforms
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',')]
    pub platforms: Vec<String>,
    /// Make an index even of a single image; without it that is copied as it is
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = ArgAction::Set)]
    pub prefer_index: bool,
    /// Write what is known of the result to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// Speak plain HTTP, or TLS without checks, with the registries
    #[arg(long)]
    pub insecure: bool,
    #[command(flatten)]
    pub builder: BuilderChoice,
    /// Images and indexes
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hoist buildx imagetools inspect --format '{{json .Manifest}}' registry.example.com/app:1"
)]
pub struct ImagetoolsInspectArgs {
    /// Template: .Name, .Manifest, .Image
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Print the manifest to the byte
    #[arg(long, conflicts_with = "format")]
    pub raw: bool,
    /// Speak plain HTTP, or TLS without checks, with the registry
    #[arg(long)]
    pub insecure: bool,
    #[command(flatten)]
    pub builder: BuilderChoice,
    #[arg(value_name = "NAME")]
    pub name: String,
}
