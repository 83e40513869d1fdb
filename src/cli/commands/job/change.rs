//! `hoist job cancel`, `hold`, `release`, `requeue`, `rm` and `wait`.

use hoist_proto::spec::{Job, JobState};

use super::path;
use crate::cli::{Context, Exit, Outcome, args::job::NamesArgs, failure::Failure};

/// Does one thing to each; those that it could not be done to are told, and the others are done all the same.
pub async fn run(cx: &Context, args: NamesArgs, verb: &str) -> Outcome {
    each(cx, &args, async |name| {
        let changed: Vec<String> = cx.client.post(format!("{}/{verb}", path(name))).read().await?;
        if changed.is_empty() {
            cx.printer.say(format!("job {name}: there is nothing to {verb}"));
        }
        Ok(changed)
    })
    .await
}

/// Forgets jobs that have ended.
pub async fn remove(cx: &Context, args: NamesArgs) -> Outcome {
    each(cx, &args, async |name| Ok(cx.client.delete(path(name)).read().await?)).await
}

async fn each(cx: &Context, args: &NamesArgs, act: impl AsyncFn(&str) -> Result<Vec<String>, Failure>) -> Outcome {
    let mut failed = false;
    for name in &args.jobs {
        match act(name).await {
            Ok(changed) => {
                for label in changed {
                    cx.printer.line(label)?;
                }
            }
            Err(failure) => {
                cx.printer.failure(&failure);
                failed = true;
            }
        }
    }
    Ok(if failed { Exit::FAILED } else { Exit::OK })
}

/// Waits for jobs, and prints how each has ended; the exit code is that of the first that did not end well.
pub async fn wait(cx: &Context, args: NamesArgs) -> Outcome {
    let mut exit = Exit::OK;
    for name in &args.jobs {
        let jobs: Vec<Job> = cx.client.post(format!("{}/wait", path(name))).read().await?;
        for job in jobs {
            let code = job.status.exit_code.map(|code| format!(" ({code})")).unwrap_or_default();
            cx.printer.line(format!("{} {}{code}", job.label(), job.status.state))?;
            if exit == Exit::OK {
                exit = ended(&job);
            }
        }
    }
    Ok(exit)
}

/// The exit code that tells how a job has ended.
pub fn ended(job: &Job) -> Exit {
    match (job.status.state, job.status.exit_code) {
        (JobState::Completed, _) => Exit::OK,
        (JobState::Failed, Some(code)) if code != 0 => Exit::container(i64::from(code)),
        _ => Exit::FAILED,
    }
}
