//! `hoist job submit` and `hoist job run`

use hoist_proto::spec::{Job, Submitted};

use super::{
    change::ended,
    follow, path,
    request::request,
    together::{Options, follow_all},
};
use crate::cli::{
    Context, Exit, Outcome,
    args::{
        container::{AttachArgs, LogsArgs},
        job::{RunArgs, SubmitArgs},
    },
    commands::container,
    failure::Failure,
    stream::terminal,
};

/// Submits, and prints the job's number.
pub async fn submit(cx: &Context, args: SubmitArgs) -> Outcome {
    let request = request(cx, &args.submit)?;
    let submitted = send(cx, &request).await?;
    cx.printer.line(submitted.number.to_string())?;
    Ok(Exit::OK)
}

async fn send(cx: &Context, request: &hoist_proto::spec::JobRequest) -> Result<Submitted, Failure> {
    let answer = cx.client.post("/hoist/v1/jobs").json(request)?.read::<Submitted>().await;
    answer.map_err(|error| Failure::from(error).code(Failure::USAGE))
}

/// Submits, shows what the job writes, and ends as it ends. An interrupt cancels it.
pub async fn run(cx: &Context, args: RunArgs) -> Outcome {
    if args.submit.job.array.is_some() {
        return Err(Failure::usage("--array is not for job run, which follows one job: use job submit"));
    }
    let request = request(cx, &args.submit)?;
    let container = &request.spec.container;
    let (tty, stdin) = (container.tty, container.open_stdin);
    terminal::check(tty, stdin)?;
    let several = request.spec.tasks > 1;
    if several && (tty || stdin) {
        return Err(Failure::usage("a job of several tasks has no terminal and no input: -i and -t are for one task")
            .hint("hoist job attach --rank N goes to one task of a job that runs"));
    }
    let job = send(cx, &request).await?.number.to_string();
    let follow = async {
        let Some(container) = follow::until_started(cx, &job).await? else { return Ok(()) };
        if tty || stdin {
            let attach = AttachArgs { detach_keys: None, no_stdin: !stdin, sig_proxy: true, container };
            Box::pin(container::attach::run(cx, attach)).await?;
        } else if several {
            follow_all(cx, &job, &Options { tail: "all".into(), timestamps: false }).await?;
        } else {
            let logs = LogsArgs {
                details: false,
                follow: true,
                since: None,
                until: None,
                tail: "all".into(),
                timestamps: false,
                container,
            };
            container::logs::run(cx, logs).await?;
        }
        Ok::<_, Failure>(())
    };
    tokio::select! {
        done = follow => done?,
        _ = tokio::signal::ctrl_c() => {
            cx.printer.say(format!("cancelling job {job}"));
            cx.client.post(format!("{}/cancel", path(&job))).done().await?;
        }
    }
    let jobs: Vec<Job> = cx.client.post(format!("{}/wait", path(&job))).read().await?;
    let Some(last) = jobs.first() else { return Ok(Exit::FAILED) };
    if !last.status.reason.is_empty() {
        cx.printer.say(format!("job {job} {}: {}", last.status.state, last.status.reason));
    }
    Ok(ended(last))
}
