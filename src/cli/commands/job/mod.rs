//! Jobs: submitted, watched, ended; the queue, and what was used.

mod change;
mod cron;
mod follow;
mod forward;
mod ls;
mod queue;
mod request;
mod script;
mod show;
mod submit;
mod together;
mod usage;

use hoist_proto::spec::Job;

pub use queue::queue;
pub use usage::usage;

use crate::cli::{Context, Outcome, args::job::JobCommand, client::path_segment, failure::Failure};

/// `/hoist/v1/jobs/NAME`
fn path(name: &str) -> String {
    format!("/hoist/v1/jobs/{}", path_segment(name))
}

/// Carries out `hoist job …`.
pub async fn run(cx: &Context, command: JobCommand) -> Outcome {
    use JobCommand as C;
    match command {
        C::Run(args) => submit::run(cx, *args).await,
        C::Submit(args) => submit::submit(cx, *args).await,
        C::Ls(args) => ls::run(cx, args).await,
        C::Show(args) => show::run(cx, args).await,
        C::Logs(args) => follow::logs(cx, args).await,
        C::Attach(args) => follow::attach(cx, args).await,
        C::Top(args) => follow::top(cx, args).await,
        C::Forward(args) => forward::run(cx, args).await,
        C::Cron { command } => cron::run(cx, command).await,
        C::Cancel(args) => change::run(cx, args, "cancel").await,
        C::Hold(args) => change::run(cx, args, "hold").await,
        C::Release(args) => change::run(cx, args, "release").await,
        C::Requeue(args) => change::run(cx, args, "requeue").await,
        C::Wait(args) => change::wait(cx, args).await,
        C::Rm(args) => change::remove(cx, args).await,
    }
}

/// The jobs that are called so.
async fn called(cx: &Context, name: &str) -> Result<Vec<Job>, Failure> {
    Ok(cx.client.get(path(name)).read().await?)
}
