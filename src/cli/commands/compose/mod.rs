//! `hoist compose`, and the short forms `up`, `down` and `watch`.
//!
//! Commands that change what a project is to be go to the control plane and show what becomes of it ([`follow`]);
//! commands on single containers go to the engine, by the labels that Compose gives them ([`containers`]).

pub mod args;
mod args_container;
mod args_up;
mod as_me;
mod attached;
mod build;
mod config;
mod containers;
mod events;
mod follow;
mod lifecycle;
mod log_view;
mod logs;
mod ls;
mod one;
mod output;
pub mod project;
mod ps;
mod pull;
mod rows;
mod run;
mod up;
mod watch;

use clap::Args;

use self::{
    args::ComposeCommand,
    args_up::{DownArgs, UpArgs, WatchArgs},
};
use crate::cli::{Context, Outcome, failure::Failure};

pub use self::log_view::Lines;
pub use self::{
    args::{ComposeArgs, ProjectArgs},
    project::load_project as load,
    up::{apply, credentials_of},
};

/// Run a compose file: make and start its services
#[derive(Debug, Args)]
pub struct UpCommand {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    up: UpArgs,
}

/// Stop and remove what `up` made
#[derive(Debug, Args)]
pub struct DownCommand {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    down: DownArgs,
}

/// Rebuild and refresh services when their files change
#[derive(Debug, Args)]
pub struct WatchCommand {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// `hoist up`
pub async fn up(context: &Context, command: UpCommand) -> Outcome {
    up::run(context, &command.project, &command.up).await
}

/// `hoist down`
pub async fn down(context: &Context, command: DownCommand) -> Outcome {
    lifecycle::down(context, &command.project, &command.down).await
}

/// `hoist watch`
pub async fn watch(context: &Context, command: WatchCommand) -> Outcome {
    watch::run(context, &command.project, &command.watch).await
}

/// `hoist compose …`
pub async fn run(context: &Context, args: ComposeArgs) -> Outcome {
    let project = &args.project;
    match &args.command {
        ComposeCommand::Attach(flags) => one::attach(context, project, flags).await,
        ComposeCommand::Build(flags) => build::run(context, project, flags).await,
        ComposeCommand::Commit(flags) => one::commit(context, project, flags).await,
        ComposeCommand::Config(flags) => config::run(context, project, flags).await,
        ComposeCommand::Cp(flags) => one::cp(context, project, flags).await,
        ComposeCommand::Create(flags) => up::create(context, project, flags).await,
        ComposeCommand::Down(flags) => lifecycle::down(context, project, flags).await,
        ComposeCommand::Events(flags) => events::run(context, project, flags).await,
        ComposeCommand::Exec(flags) => one::exec(context, project, flags).await,
        ComposeCommand::Export(flags) => one::export(context, project, flags).await,
        ComposeCommand::Images(flags) => ps::images(context, project, flags).await,
        ComposeCommand::Kill(flags) => lifecycle::kill(context, project, flags).await,
        ComposeCommand::Logs(flags) => logs::run(context, project, flags).await,
        ComposeCommand::Ls(flags) => ls::ls(context, flags).await,
        ComposeCommand::Pause(flags) => lifecycle::pause(context, project, flags).await,
        ComposeCommand::Port(flags) => ps::port(context, project, flags).await,
        ComposeCommand::Ps(flags) => ps::ps(context, project, flags).await,
        ComposeCommand::Pull(flags) => pull::pull(context, project, flags).await,
        ComposeCommand::Push(flags) => pull::push(context, project, flags).await,
        ComposeCommand::Restart(flags) => lifecycle::restart(context, project, flags).await,
        ComposeCommand::Rm(flags) => lifecycle::rm(context, project, flags).await,
        ComposeCommand::Run(flags) => run::run(context, project, flags).await,
        ComposeCommand::Scale(flags) => up::scale(context, project, flags).await,
        ComposeCommand::Start(flags) => lifecycle::start(context, project, flags).await,
        ComposeCommand::Stats(flags) => one::stats(context, project, flags).await,
        ComposeCommand::Stop(flags) => lifecycle::stop(context, project, flags).await,
        ComposeCommand::Top(flags) => ps::top(context, project, flags).await,
        ComposeCommand::Unpause(flags) => lifecycle::unpause(context, project, flags).await,
        ComposeCommand::Up(flags) => up::run(context, project, flags).await,
        ComposeCommand::Version(flags) => ls::version(context, flags),
        ComposeCommand::Volumes(flags) => ps::volumes(context, project, flags).await,
        ComposeCommand::Wait(flags) => ps::wait(context, project, flags).await,
        ComposeCommand::Watch(flags) => watch::run(context, project, flags).await,
    }
}

/// What the files say once they are merged, with or without variables filled in.
pub fn canonical(context: &Context, args: &ProjectArgs, interpolate: bool) -> Result<String, Failure> {
    config::text(context, args, interpolate)
}

/// Takes a project down and shows it.
pub async fn follow_down(
    context: &Context,
    args: &ProjectArgs,
    project: &str,
    options: &hoist_proto::spec::DownOptions,
) -> Result<(), Failure> {
    lifecycle::change(context, args, project, "down", options).await.map(drop)
}
