//! The flags of `hoist compose` and its subcommands, with the names and meanings of Docker Compose's.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};

use super::{
    args_container::{AttachArgs, CommitArgs, CpArgs, ExecArgs, ExportArgs, RunArgs},
    args_up::{CreateArgs, DownArgs, ScaleArgs, UpArgs, WatchArgs},
};
use crate::cli::progress::Mode;

/// Runs applications described by compose files.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Example:\n  hoist compose -f compose.yaml -f compose.prod.yaml up -d --wait"
)]
pub struct ComposeArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    #[command(subcommand)]
    pub command: ComposeCommand,
}

/// Which files and which project.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Project options")]
pub struct ProjectArgs {
    /// Compose file; may be given several times, `-` is standard input.
    #[arg(short = 'f', long = "file", value_name = "FILE", id = "project_file")]
    pub files: Vec<PathBuf>,
    /// Project name.
    #[arg(short = 'p', long, value_name = "NAME")]
    pub project_name: Option<String>,
    /// Directory that relative paths start from [default: that of the first compose file].
    #[arg(long, value_name = "DIR", global = true)]
    pub project_directory: Option<PathBuf>,
    /// Profile to enable; may be given several times, `*` is all.
    #[arg(long = "profile", value_name = "PROFILE", id = "project_profile", global = true)]
    pub profiles: Vec<String>,
    /// File with variables for interpolation, instead of `.env`.
    #[arg(long = "env-file", value_name = "FILE", id = "project_env_file", global = true)]
    pub env_files: Vec<PathBuf>,
    /// Include resources that no service uses.
    #[arg(long, global = true)]
    pub all_resources: bool,
    /// How progress is shown.
    #[arg(long, value_enum, value_name = "TYPE", global = true)]
    pub progress: Option<Mode>,
    /// Show what would be done, with the cause of each step, and do nothing.
    #[arg(long, global = true)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum ComposeCommand {
    /// Attach to a service's running container.
    Attach(AttachArgs),
    /// Build or rebuild services.
    Build(BuildArgs),
    /// Make an image of a service container's changes.
    Commit(CommitArgs),
    /// Check compose files and print them in canonical form.
    #[command(alias = "convert")]
    Config(ConfigArgs),
    /// Copy files between a service's container and the local file system.
    Cp(CpArgs),
    /// Make the containers of services without starting them.
    Create(CreateArgs),
    /// Stop and remove containers and networks.
    Down(DownArgs),
    /// Show events of the project's containers as they happen.
    Events(EventsArgs),
    /// Run a command in a running container of a service.
    Exec(ExecArgs),
    /// Write a service container's file system as a tar archive.
    Export(ExportArgs),
    /// List the images that the project's containers use.
    Images(ImagesArgs),
    /// Send a signal to services' containers.
    Kill(KillArgs),
    /// Show the output of services.
    Logs(LogsArgs),
    /// List projects.
    Ls(LsArgs),
    /// Pause services.
    Pause(ServicesArgs),
    /// Print where a service's port is published.
    Port(PortArgs),
    /// List the project's containers.
    Ps(PsArgs),
    /// Fetch the images of services.
    Pull(PullArgs),
    /// Push the images of services.
    Push(PushArgs),
    /// Restart services' containers.
    Restart(RestartArgs),
    /// Remove stopped containers.
    Rm(RmArgs),
    /// Run a one-off command in a new container of a service.
    Run(RunArgs),
    /// Set how many containers services have.
    Scale(ScaleArgs),
    /// Start services that were stopped.
    Start(StartArgs),
    /// Show a live view of what containers use.
    Stats(StatsArgs),
    /// Stop services and keep their containers.
    Stop(StopArgs),
    /// Show the processes of services.
    Top(ServicesArgs),
    /// Resume paused services.
    Unpause(ServicesArgs),
    /// Make and start containers.
    Up(UpArgs),
    /// Show the version.
    Version(VersionArgs),
    /// List the project's volumes.
    Volumes(VolumesArgs),
    /// Wait until services' containers stop.
    Wait(WaitArgs),
    /// Watch sources and refresh containers when they change.
    Watch(WatchArgs),
}

/// Nothing but services.
#[derive(Debug, Args)]
pub struct ServicesArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist compose build --build-arg VERSION=2 web")]
pub struct BuildArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Value of an ARG; without one it is taken from the environment.
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub build_args: Vec<String>,
    /// Only check the Dockerfiles.
    #[arg(long)]
    pub check: bool,
    /// Run every step again.
    #[arg(long)]
    pub no_cache: bool,
    /// Ask the registry for base images even if they are here.
    #[arg(long)]
    pub pull: bool,
    /// Send the images to their registries.
    #[arg(long)]
    pub push: bool,
    /// No output of building.
    #[arg(short, long)]
    pub quiet: bool,
    /// Agent socket for RUN --mount=type=ssh.
    #[arg(long, value_name = "default|ID[=SOCKET]")]
    pub ssh: Vec<String>,
    /// Build what the services depend on, too.
    #[arg(long)]
    pub with_dependencies: bool,
}

#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:\n  hoist compose config --format json\n  hoist compose config --hash '*'")]
pub struct ConfigArgs {
    /// Only these services, with what they depend on.
    #[arg(value_name = "SERVICE")]
    pub only: Vec<String>,
    /// Output format.
    #[arg(long, value_enum, default_value = "yaml")]
    pub format: ConfigFormat,
    /// Print the environment that interpolation uses.
    #[arg(long)]
    pub environment: bool,
    /// Print the digest of each service's definition (`*`, or names separated by commas).
    #[arg(long, value_name = "SERVICES")]
    pub hash: Option<String>,
    /// Print the image names, one a line.
    #[arg(long)]
    pub images: bool,
    /// Print the model names, one a line.
    #[arg(long)]
    pub models: bool,
    /// Print the network names, one a line.
    #[arg(long)]
    pub networks: bool,
    /// Do not check that what is referred to exists.
    #[arg(long)]
    pub no_consistency: bool,
    /// Do not read services' env files.
    #[arg(long)]
    pub no_env_resolution: bool,
    /// Leave variables as they are.
    #[arg(long)]
    pub no_interpolate: bool,
    /// Do not bring the model into its normal form.
    #[arg(long)]
    pub no_normalize: bool,
    /// Leave paths as they are.
    #[arg(long)]
    pub no_path_resolution: bool,
    /// Write to a file.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the profile names, one a line.
    #[arg(long)]
    pub profiles: bool,
    /// Only check.
    #[arg(short, long)]
    pub quiet: bool,
    /// Print the service names, one a line.
    #[arg(long)]
    pub services: bool,
    /// Print the variables that the files use, with their defaults.
    #[arg(long)]
    pub variables: bool,
    /// Print the volume names, one a line.
    #[arg(long)]
    pub volumes: bool,
    /// Pin images to their digests.
    #[arg(long)]
    pub resolve_image_digests: bool,
    /// Print an override file with the images' digests.
    #[arg(long)]
    pub lock_image_digests: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    #[default]
    Yaml,
    Json,
}

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Show what happened since then.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Show what happened until then, and end.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

#[derive(Debug, Args)]
pub struct ImagesArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// `table`, `json` or a Go template.
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Only ids.
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct KillArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Signal to send.
    #[arg(short, long, default_value = "SIGKILL")]
    pub signal: String,
    /// Also remove containers of services that the file does not have.
    #[arg(long)]
    pub remove_orphans: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist compose logs -f --tail 20 web")]
pub struct LogsArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Go on with what comes.
    #[arg(short, long)]
    pub follow: bool,
    /// Only this container of the service.
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// No colours.
    #[arg(long)]
    pub no_color: bool,
    /// Do not say which container a line is from.
    #[arg(long)]
    pub no_log_prefix: bool,
    /// From this moment (`2026-01-02T13:23:37Z`) or so long ago (`42m`).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Up to this moment or so long ago.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// How many of the last lines of each container.
    #[arg(short = 'n', long, default_value = "all", value_name = "LINES")]
    pub tail: String,
    /// Show when each line was written.
    #[arg(short, long)]
    pub timestamps: bool,
}

#[derive(Debug, Args)]
pub struct LsArgs {
    /// Projects that have stopped as well.
    #[arg(short, long)]
    pub all: bool,
    /// `name=PATTERN`.
    #[arg(long = "filter", value_name = "FILTER")]
    pub filters: Vec<String>,
    /// `table`, `json` or a Go template.
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Only names.
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist compose port web 80")]
pub struct PortArgs {
    pub service: String,
    /// Port in the container.
    pub private_port: u16,
    /// tcp, udp or sctp.
    #[arg(long, default_value = "tcp")]
    pub protocol: String,
    /// Which container of the service.
    #[arg(long, default_value_t = 1)]
    pub index: u32,
}

#[derive(Debug, Args)]
pub struct PsArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Stopped containers and those of `run` as well.
    #[arg(short, long)]
    pub all: bool,
    /// `status=STATUS`.
    #[arg(long = "filter", value_name = "FILTER")]
    pub filters: Vec<String>,
    /// `table`, `table TEMPLATE`, `json` or a Go template.
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Whole ids and commands.
    #[arg(long)]
    pub no_trunc: bool,
    /// Containers of services that the file does not have.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub orphans: bool,
    /// Only ids.
    #[arg(short, long)]
    pub quiet: bool,
    /// Only service names.
    #[arg(long = "services")]
    pub services_only: bool,
    /// Only containers of this status.
    #[arg(long, value_enum, value_name = "STATUS")]
    pub status: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContainerStatus {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

#[derive(Debug, Args)]
pub struct PullArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Pass over images that can be built.
    #[arg(long)]
    pub ignore_buildable: bool,
    /// Fetch what can be fetched.
    #[arg(long)]
    pub ignore_pull_failures: bool,
    /// Also those of services that these depend on.
    #[arg(long)]
    pub include_deps: bool,
    /// When to fetch.
    #[arg(long, value_enum)]
    pub policy: Option<PullPolicyChoice>,
    /// No progress.
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PullPolicyChoice {
    Missing,
    Always,
}

#[derive(Debug, Args)]
pub struct PushArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Push what can be pushed.
    #[arg(long)]
    pub ignore_push_failures: bool,
    /// Also those of services that these depend on.
    #[arg(long)]
    pub include_deps: bool,
    /// No progress.
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Do not restart those that depend on them.
    #[arg(long)]
    pub no_deps: bool,
    /// Seconds to wait before killing.
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub struct RmArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub force: bool,
    /// Stop running ones first.
    #[arg(short, long)]
    pub stop: bool,
    /// Anonymous volumes go too.
    #[arg(short, long)]
    pub volumes: bool,
}

#[derive(Debug, Args)]
pub struct StartArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Wait until all run and are healthy.
    #[arg(long)]
    pub wait: bool,
    /// At most so long.
    #[arg(long, value_name = "SECONDS")]
    pub wait_timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub struct StopArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Seconds to wait before killing.
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Only this service.
    #[arg(value_name = "SERVICE")]
    pub service: Option<String>,
    /// Stopped containers as well.
    #[arg(short, long)]
    pub all: bool,
    /// `table`, `table TEMPLATE`, `json` or a Go template.
    #[arg(long, default_value = "table")]
    pub format: String,
    /// One reading, then end.
    #[arg(long)]
    pub no_stream: bool,
    /// Whole ids.
    #[arg(long)]
    pub no_trunc: bool,
}

#[derive(Debug, Args)]
pub struct VersionArgs {
    /// `pretty` or `json`.
    #[arg(short, long, default_value = "pretty")]
    pub format: String,
    /// Only the number.
    #[arg(long)]
    pub short: bool,
}

#[derive(Debug, Args)]
pub struct VolumesArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// `table`, `json` or a Go template.
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Only names.
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct WaitArgs {
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
    /// Take the project down when the first container stops.
    #[arg(long)]
    pub down_project: bool,
}
