//! What all tasks of a job write, at the same time, each line with its task before it.

use std::collections::BTreeMap;

use bytes::BytesMut;
use hoist_proto::spec::Task;
use http_body_util::BodyExt;
use tokio::{sync::mpsc, task::JoinSet};

use super::follow::{LOOK, tasks};
use crate::cli::{
    Context,
    client::{Client, path_segment},
    commands::compose::Lines,
    failure::Failure,
    stream::{Arrival, Wire},
};

/// What is wanted of the output.
#[derive(Debug, Clone)]
pub struct Options {
    pub tail: String,
    pub timestamps: bool,
}

/// A line, and whether it was written to standard error.
struct Said {
    label: String,
    line: Vec<u8>,
    err: bool,
}

/// Follows all tasks until they have ended; those that come later too.
pub async fn follow_all(cx: &Context, job: &str, options: &Options) -> Result<(), Failure> {
    let (to, mut from) = mpsc::channel::<Said>(256);
    let mut readers: JoinSet<Result<(), Failure>> = JoinSet::new();
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    let mut complete = false;
    loop {
        if !complete {
            let tasks = tasks(cx, job).await?;
            for task in &tasks {
                let Some(container) = task.status.container_id.clone() else { continue };
                if !labels.contains_key(&container) {
                    let label = label(task, &tasks);
                    labels.insert(container.clone(), label.clone());
                    let (client, options, to) = (cx.client.clone(), options.clone(), to.clone());
                    readers.spawn(async move { read(&client, &container, label, &options, &to).await });
                }
            }
            complete = tasks.iter().all(|task| task.status.container_id.is_some() || task.status.state.is_final());
        }
        let width = labels.values().map(String::len).max().unwrap_or(0);
        if complete && readers.is_empty() {
            while let Ok(said) = from.try_recv() {
                show(cx, &said, width)?;
            }
            return Ok(());
        }
        tokio::select! {
            biased;
            Some(said) = from.recv() => show(cx, &said, width)?,
            Some(done) = readers.join_next() => done.map_err(|error| Failure::from_error(&error))??,
            () = tokio::time::sleep(LOOK), if !complete => {}
        }
    }
}

/// The task's rank; where several jobs are followed, its job's number too.
fn label(task: &Task, all: &[Task]) -> String {
    let number = |task: &Task| task.spec.container.labels.get("hoist.job.number").cloned().unwrap_or_default();
    let rank = task.slot.saturating_sub(1);
    let own = all.iter().filter(|other| other.service == task.service).count();
    match (own == all.len(), own) {
        (true, _) => rank.to_string(),
        (false, 1) => number(task),
        (false, _) => format!("{}.{rank}", number(task)),
    }
}

fn show(cx: &Context, said: &Said, width: usize) -> Result<(), Failure> {
    let mut out = format!("{:>width$}: ", said.label).into_bytes();
    out.extend_from_slice(&said.line);
    out.push(b'\n');
    if said.err { cx.printer.raw_err(&out) } else { cx.printer.raw(&out) }
}

async fn read(
    client: &Client,
    container: &str,
    label: String,
    options: &Options,
    to: &mpsc::Sender<Said>,
) -> Result<(), Failure> {
    let response = client
        .get(format!("/containers/{}/logs", path_segment(container)))
        .flag("stdout", true)
        .flag("stderr", true)
        .flag("follow", true)
        .flag("timestamps", options.timestamps)
        .query("tail", &options.tail)
        .send()
        .await?;
    let kind = response.headers().get(http::header::CONTENT_TYPE);
    let multiplexed = kind.is_none_or(|kind| kind.as_bytes() != b"application/vnd.docker.raw-stream");
    let wire = Wire::Container { id: String::new(), multiplexed };
    let mut body = response.into_body();
    let mut buffer = BytesMut::new();
    // Both streams keep their own unfinished lines.
    let mut unfinished = [Lines::default(), Lines::default()];
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::from_error(&error))?;
        buffer.extend_from_slice(&frame.into_data().unwrap_or_default());
        while let Some(arrival) =
            wire.take(&mut buffer).map_err(|_| Failure::new("what the daemon sends is garbled"))?
        {
            let (bytes, err) = match arrival {
                Arrival::Stdout(bytes) => (bytes, false),
                Arrival::Stderr(bytes) => (bytes, true),
                Arrival::Event(_) => continue,
            };
            for line in unfinished[usize::from(err)].push(&bytes) {
                // Who does not listen any more has ended, and this with it.
                let _ = to.send(Said { label: label.clone(), line, err }).await;
            }
        }
    }
    for (err, lines) in [false, true].into_iter().zip(&mut unfinished) {
        if let Some(line) = lines.finish() {
            let _ = to.send(Said { label: label.clone(), line, err }).await;
        }
    }
    Ok(())
}
