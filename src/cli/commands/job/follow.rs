//! What a job writes, and its terminal.

use std::time::Duration;

use hoist_manager::control::Started;
use hoist_proto::spec::Task;

use super::{
    path,
    together::{Options, follow_all},
};
use crate::cli::{
    Context, Exit, Outcome,
    args::{
        container::{AttachArgs, LogsArgs as ContainerLogs, TopArgs},
        job::{LogsArgs, OneArgs},
    },
    commands::container,
    failure::Failure,
};

/// How often a job is looked at that has not come so far.
pub const LOOK: Duration = Duration::from_millis(200);

/// `hoist job logs`: one task after the other; a follower sees all at the same time, or the one it names.
pub async fn logs(cx: &Context, args: LogsArgs) -> Outcome {
    let tasks = tasks(cx, &args.job).await?;
    let chosen: Vec<&Task> = match args.rank {
        Some(rank) => tasks.iter().filter(|task| task.slot == rank + 1).collect(),
        None => tasks.iter().collect(),
    };
    if chosen.is_empty() {
        let rank = args.rank.map(|rank| format!("a task {rank} of ")).unwrap_or_default();
        return Err(Failure::new(format!("{rank}job {} has not started, so that it wrote nothing", args.job)));
    }
    if args.follow && chosen.len() > 1 {
        let tail = if args.tail.starts_with('-') { "all".to_owned() } else { args.tail };
        follow_all(cx, &args.job, &Options { tail, timestamps: args.timestamps }).await?;
        return Ok(Exit::OK);
    }
    for task in &chosen {
        if chosen.len() > 1 {
            cx.printer.say(format!("--- task {} ---", task.slot.saturating_sub(1)));
        }
        let Some(container) = task.status.container_id.clone() else {
            cx.printer.say(format!("task {} has no container yet", task.slot.saturating_sub(1)));
            continue;
        };
        let logs = ContainerLogs {
            details: false,
            follow: args.follow,
            since: None,
            until: None,
            tail: args.tail.clone(),
            timestamps: args.timestamps,
            container,
        };
        container::logs::run(cx, logs).await?;
    }
    Ok(Exit::OK)
}

/// `hoist job attach`
pub async fn attach(cx: &Context, args: OneArgs) -> Outcome {
    let container = container(cx, &args).await?;
    let attach = AttachArgs { detach_keys: None, no_stdin: false, sig_proxy: true, logs: false, container };
    Box::pin(container::attach::run(cx, attach)).await
}

/// `hoist job top`
pub async fn top(cx: &Context, args: OneArgs) -> Outcome {
    let container = container(cx, &args).await?;
    container::top::run(cx, TopArgs { words: vec![container.into()] }).await
}

async fn container(cx: &Context, args: &OneArgs) -> Result<String, Failure> {
    let tasks = tasks(cx, &args.job).await?;
    let task = tasks.iter().find(|task| task.slot == args.rank + 1);
    task.and_then(|task| task.status.container_id.clone())
        .ok_or_else(|| Failure::new(format!("task {} of job {} does not run", args.rank, args.job)))
}

pub async fn tasks(cx: &Context, job: &str) -> Result<Vec<Task>, Failure> {
    Ok(cx.client.get(format!("{}/tasks", path(job))).read().await?)
}

/// Waits until the job's first task has a container, or the job has ended; tells why it waits whenever that changes.
pub async fn until_started(cx: &Context, job: &str) -> Result<Option<String>, Failure> {
    let mut told = String::new();
    loop {
        let asked = cx.client.get(format!("{}/start", path(job))).query("reason", &told);
        let started: Started = asked.read().await?;
        if started.container.is_some() || started.state.is_final() {
            return Ok(started.container);
        }
        told = started.reason;
        cx.printer.say(format!("job {job} {told}"));
    }
}
