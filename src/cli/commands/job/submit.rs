//! `hoist job submit` and `hoist job run`

use hoist_proto::spec::{Job, Submitted};

use super::{
    change::ended,
    follow, forward,
    forward::Forward,
    path,
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
    if let Some(schedule) = &args.submit.job.cron {
        return super::cron::add(cx, schedule, &args.submit.job, request).await;
    }
    let submitted = send(cx, &request).await?;
    cx.printer.line(submitted.number.to_string())?;
    Ok(Exit::OK)
}

async fn send(cx: &Context, request: &hoist_proto::spec::JobRequest) -> Result<Submitted, Failure> {
    let answer = cx.client.post("/hoist/v1/jobs").json(request)?.read::<Submitted>().await;
    answer.map_err(|error| Failure::from(error).code(Failure::USAGE))
}

/// How soon the end of a job is known whose container has ended.
const ENDS: std::time::Duration = std::time::Duration::from_secs(2);

/// All that a container writes, to its end.
fn all_of(container: String) -> LogsArgs {
    LogsArgs {
        details: false,
        follow: true,
        since: None,
        until: None,
        tail: "all".into(),
        timestamps: false,
        container,
    }
}

/// Submits, shows what the job writes, and ends as it ends. An interrupt cancels it.
pub async fn run(cx: &Context, args: RunArgs) -> Outcome {
    if args.submit.job.array.is_some() {
        return Err(Failure::usage("--array is not for job run, which follows one job: use job submit"));
    }
    // What is published comes to the caller, wherever the job runs.
    let forwards =
        args.submit.network.publish.iter().map(|port| Forward::parse(port)).collect::<Result<Vec<_>, _>>()?;
    let mut submit = args.submit;
    submit.network.publish.clear();
    let request = request(cx, &submit)?;
    let container = &request.spec.container;
    let (tty, stdin) = (container.tty, container.open_stdin);
    terminal::check(tty, stdin)?;
    let several = request.spec.tasks > 1;
    if several && (tty || stdin) {
        return Err(Failure::usage("a job of several tasks has no terminal and no input: -i and -t are for one task")
            .hint("hoist job attach --rank N goes to one task of a job that runs"));
    }
    if submit.job.cron.is_some() {
        return Err(Failure::usage("--cron is not for job run, which follows one job: use job submit"));
    }
    let listeners = forward::listen(&forwards).await?;
    let job = send(cx, &request).await?.number.to_string();
    let follow = async {
        let Some(container) = follow::until_started(cx, &job).await? else { return Ok(()) };
        let _serving = forward::serve(cx, listeners, &container)?;
        if tty || stdin {
            let to = container.clone();
            let attach = AttachArgs { detach_keys: None, no_stdin: !stdin, sig_proxy: true, logs: true, container: to };
            if let Err(failure) = Box::pin(container::attach::run(cx, attach)).await {
                // One that has ended meanwhile has nothing more to say than what it wrote; that it has is told soon.
                let path = format!("{}/wait", path(&job));
                let ended = tokio::time::timeout(ENDS, cx.client.post(path).read::<Vec<Job>>()).await;
                if !matches!(ended, Ok(Ok(_))) {
                    return Err(failure);
                }
                container::logs::run(cx, all_of(container)).await?;
            }
        } else if several {
            follow_all(cx, &job, &Options { tail: "all".into(), timestamps: false }).await?;
        } else {
            container::logs::run(cx, all_of(container)).await?;
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
