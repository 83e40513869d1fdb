//! The flags of the commands that bring a project into being and take it down.

use clap::{Args, ValueEnum};
use hoist_proto::spec::PullPolicy;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hoist up                               run everything, show the output, stop on Ctrl-C
  hoist up -d --wait                     run in the background, return when all is healthy
  hoist up --scale worker=3 web worker   two services, one of them three times
  hoist up --dry-run                     say what would change, and why")]
pub struct UpArgs {
    /// Services to bring up, with what they depend on; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    #[command(flatten)]
    pub make: MakeArgs,
    /// Run in the background.
    #[arg(short, long, conflicts_with_all = ["abort_on_container_exit", "abort_on_container_failure", "attach", "attach_dependencies"])]
    pub detach: bool,
    /// Wait until services run and are healthy, in the background.
    #[arg(long, conflicts_with_all = ["abort_on_container_exit", "abort_on_container_failure"])]
    pub wait: bool,
    /// Wait at most so long.
    #[arg(long, value_name = "SECONDS")]
    pub wait_timeout: Option<u64>,
    /// Do not bring up what the services depend on.
    #[arg(long)]
    pub no_deps: bool,
    /// Make containers and do not start them.
    #[arg(long, conflicts_with_all = ["wait", "abort_on_container_exit"])]
    pub no_start: bool,
    /// Also replace containers that the services depend on.
    #[arg(long, conflicts_with = "no_recreate")]
    pub always_recreate_deps: bool,
    /// Give new anonymous volumes to replaced containers.
    #[arg(short = 'V', long)]
    pub renew_anon_volumes: bool,
    /// Stop everything when any container stops.
    #[arg(long)]
    pub abort_on_container_exit: bool,
    /// Stop everything when any container fails.
    #[arg(long)]
    pub abort_on_container_failure: bool,
    /// End with this service's exit code; everything stops when its container does.
    #[arg(long, value_name = "SERVICE", conflicts_with = "detach")]
    pub exit_code_from: Option<String>,
    /// Show only the output of these services.
    #[arg(long, value_name = "SERVICE")]
    pub attach: Vec<String>,
    /// Also show the output of what the services depend on.
    #[arg(long, conflicts_with = "attach")]
    pub attach_dependencies: bool,
    /// Do not show the output of these services.
    #[arg(long, value_name = "SERVICE")]
    pub no_attach: Vec<String>,
    /// No colours.
    #[arg(long)]
    pub no_color: bool,
    /// Do not say which container a line is from.
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Show when each line was written.
    #[arg(long)]
    pub timestamps: bool,
    /// Seconds to wait for containers to stop before killing them.
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Watch sources and refresh containers when they change.
    #[arg(short, long)]
    pub watch: bool,
    /// Offer interactive shortcuts.
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    pub menu: Option<bool>,
}

/// What `up` and `create` share.
#[derive(Debug, Clone, Default, Args)]
pub struct MakeArgs {
    /// Build images first.
    #[arg(long, conflicts_with = "no_build")]
    pub build: bool,
    /// Build nothing, even where an image is missing.
    #[arg(long)]
    pub no_build: bool,
    /// Replace containers even if nothing has changed.
    #[arg(long, conflicts_with = "no_recreate")]
    pub force_recreate: bool,
    /// Leave containers that exist as they are.
    #[arg(long)]
    pub no_recreate: bool,
    /// When to fetch images.
    #[arg(long, value_enum, default_value = "policy")]
    pub pull: PullChoice,
    /// No progress of fetching images.
    #[arg(long)]
    pub quiet_pull: bool,
    /// No output of building.
    #[arg(long)]
    pub quiet_build: bool,
    /// Remove containers of services that the file does not have.
    #[arg(long)]
    pub remove_orphans: bool,
    /// `SERVICE=NUMBER`: how many containers a service has.
    #[arg(long, value_name = "SERVICE=NUMBER", value_parser = parse_scale)]
    pub scale: Vec<(String, u32)>,
    /// Answer every question with yes.
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PullChoice {
    /// What each service says.
    #[default]
    Policy,
    Always,
    Missing,
    Never,
    /// Build what can be built, fetch the rest where missing.
    Build,
}

impl PullChoice {
    /// The policy that overrules the services', if any.
    pub fn policy(self) -> Option<PullPolicy> {
        match self {
            Self::Policy | Self::Build => None,
            Self::Always => Some(PullPolicy::Always),
            Self::Missing => Some(PullPolicy::Missing),
            Self::Never => Some(PullPolicy::Never),
        }
    }
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    #[command(flatten)]
    pub make: MakeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hoist down        keeps named volumes\n  hoist down -v     removes them too")]
pub struct DownArgs {
    /// Only these services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Remove containers of services that the file does not have.
    #[arg(long)]
    pub remove_orphans: bool,
    /// Remove images: `local` those without a name of their own, `all` every one.
    #[arg(long, value_enum, value_name = "WHICH")]
    pub rmi: Option<RmiChoice>,
    /// Seconds to wait for containers to stop before killing them.
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Remove named volumes of the file and anonymous ones.
    #[arg(short, long)]
    pub volumes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RmiChoice {
    Local,
    All,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist compose scale worker=3")]
pub struct ScaleArgs {
    /// How many containers each service has.
    #[arg(value_name = "SERVICE=NUMBER", required = true, value_parser = parse_scale)]
    pub scale: Vec<(String, u32)>,
    /// Do not bring up what the services depend on.
    #[arg(long)]
    pub no_deps: bool,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Services; none is all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Do not build and start services first.
    #[arg(long)]
    pub no_up: bool,
    /// Remove dangling images after a rebuild.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub prune: bool,
    /// No output of building.
    #[arg(long)]
    pub quiet: bool,
}

/// Parses `SERVICE=NUMBER`.
pub fn parse_scale(text: &str) -> Result<(String, u32), String> {
    let (service, number) = text.split_once('=').ok_or("expected SERVICE=NUMBER")?;
    let number = number.parse().map_err(|_| format!("{number:?} is not a number of containers"))?;
    Ok((service.to_owned(), number))
}
