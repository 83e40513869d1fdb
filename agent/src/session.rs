//! The session with a dispatcher: registered, heard, kept alive, and opened anew when it breaks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hoist_proto::{
    id::NodeId,
    spec::DeviceKind,
    wire::{
        AssignmentsRequest, HeartbeatRequest, ProgressReport, SessionRequest, assignments_message::Kind,
        dispatcher_client::DispatcherClient,
    },
};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};

use crate::{Dispatchers, describe::describe, progress::Progress, task::TASK, worker::Worker};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(1500);
/// A dispatcher that is there answers within this time.
const OPENING: Duration = Duration::from_secs(10);
/// The least that an answer to a heartbeat is waited for.
const SHORTEST: Duration = Duration::from_secs(1);
/// How soon a manager hears that somebody else took a device.
const DEVICES_EVERY: Duration = Duration::from_millis(500);
/// How often the machine is looked at for devices that came or went.
const HARDWARE_EVERY: Duration = Duration::from_secs(30);
const MAX_MESSAGE: usize = 64 << 20;

/// Runs until cancelled.
pub(crate) async fn run(dispatchers: Arc<dyn Dispatchers>, node: NodeId, worker: Worker, cancel: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        let client = DispatcherClient::new(dispatchers.next()).max_decoding_message_size(MAX_MESSAGE);
        let ended = tokio::select! {
            () = cancel.cancelled() => break,
            ended = one(client, &node, &worker, &*dispatchers, &mut pause) => ended,
        };
        worker.inner.attachments.close();
        tracing::warn!(code = ?ended.code(), "the session with the dispatcher ended: {}", ended.message());
        if dispatchers.ended(&ended) {
            // Another one is known; it needs no rest.
            pause = FIRST_PAUSE;
            continue;
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    worker.drain().await;
}

/// One session; gives why it ended.
async fn one(
    mut client: DispatcherClient<Channel>,
    node: &NodeId,
    worker: &Worker,
    dispatchers: &dyn Dispatchers,
    pause: &mut Duration,
) -> Status {
    // Watched before it is told what the node is: the very first answer may bring other roots.
    let is_another = dispatchers.changed();
    let mut description = describe();
    description.tls = dispatchers.tls();
    description.protocol = worker.inner.protocol;
    description.tunnel_key = Some(worker.inner.engine.networks().node_key().await.to_string());
    let engine = worker.inner.engine.clone();
    // A driver that does not answer must not hold up the rest.
    let changes = engine.devices().changes();
    match tokio::task::spawn_blocking(move || (engine.device_counts(), engine.describe_devices(TASK))).await {
        Ok((counts, devices)) => (description.generic_resources, description.devices) = (counts, devices),
        Err(error) => tracing::error!(%error, "the machine's devices cannot be told"),
    }
    let devices = description.devices.clone();
    let description = serde_json::to_vec(&description).expect("a description has string keys");
    let request = SessionRequest { node_id: node.to_string(), description, session_id: String::new() };
    let opening = async {
        let mut messages = client.session(request).await?.into_inner();
        match messages.next().await {
            Some(first) => Ok((first?, messages)),
            None => Err(Status::unavailable("the dispatcher said nothing")),
        }
    };
    let (first, mut messages) = match tokio::time::timeout(OPENING, opening).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return error,
        Err(_) => return Status::deadline_exceeded("the dispatcher did not answer"),
    };
    let session = first.session_id.clone();
    worker.belongs_to(&first.cluster_id);
    worker.know_node(&first.node);
    dispatchers.heard(first);
    *pause = FIRST_PAUSE;
    tracing::debug!(session, "registered with the dispatcher");
    worker.inner.attachments.open(client.clone(), &session);
    worker.keep_attachments().await;
    let alive = async {
        loop {
            match messages.next().await {
                Some(Ok(news)) => {
                    worker.know_node(&news.node);
                    dispatchers.heard(news);
                }
                Some(Err(error)) => return error,
                None => return Status::unavailable("the dispatcher closed the session"),
            }
        }
    };
    tokio::select! {
        ended = alive => ended,
        ended = heartbeats(client.clone(), &session, worker) => ended,
        ended = assignments(client.clone(), &session, worker) => ended,
        ended = worker.reports().send(client.clone(), &session) => ended,
        ended = progress(client, &session, worker.progress()) => ended,
        () = is_another => Status::aborted("the node introduces itself anew"),
        () = other_devices(worker, devices, changes) => Status::aborted("the node's devices are others now"),
    }
}

/// Waits until the machine has other devices, or others hold them, than the manager was told.
async fn other_devices(worker: &Worker, told: Vec<DeviceKind>, mut changes: u64) {
    let mut looked = Instant::now();
    loop {
        tokio::time::sleep(DEVICES_EVERY).await;
        let engine = worker.inner.engine.clone();
        let now = engine.devices().changes();
        // A machine without any may get some, but not in a hurry.
        if now == changes && looked.elapsed() < HARDWARE_EVERY {
            continue;
        }
        (changes, looked) = (now, Instant::now());
        let described = tokio::task::spawn_blocking(move || engine.describe_devices(TASK)).await;
        if described.is_ok_and(|devices| devices != told) {
            return;
        }
    }
}

async fn heartbeats(mut client: DispatcherClient<Channel>, session: &str, worker: &Worker) -> Status {
    let mut patience = OPENING;
    loop {
        let request = HeartbeatRequest { session_id: session.to_owned(), uses: uses(worker).await };
        match tokio::time::timeout(patience, client.heartbeat(request)).await {
            Ok(Ok(answer)) => {
                let period = Duration::from_millis(answer.into_inner().period_millis);
                // A dispatcher that is silent for two periods may be gone; another one is told before it is too late.
                patience = (period * 2).clamp(SHORTEST, OPENING);
                tokio::time::sleep(period).await;
            }
            Ok(Err(error)) => return error,
            Err(_) => return Status::deadline_exceeded("the dispatcher did not answer a heartbeat"),
        }
    }
}

/// What tasks have made of their devices.
async fn uses(worker: &Worker) -> Vec<u8> {
    let engine = worker.inner.engine.clone();
    if !engine.devices().are_measured() {
        return Vec::new();
    }
    match tokio::task::spawn_blocking(move || engine.device_uses(TASK)).await {
        Ok(uses) if !uses.is_empty() => serde_json::to_vec(&uses).expect("numbers and texts can be written"),
        _ => Vec::new(),
    }
}

async fn assignments(mut client: DispatcherClient<Channel>, session: &str, worker: &Worker) -> Status {
    let request = AssignmentsRequest { session_id: session.to_owned() };
    let mut messages = match client.assignments(request).await {
        Ok(answer) => answer.into_inner(),
        Err(error) => return error,
    };
    let mut at: Option<String> = None;
    while let Some(message) = messages.next().await {
        let message = match message {
            Ok(message) => message,
            Err(error) => return error,
        };
        let complete = message.kind() == Kind::Complete;
        if !complete && at.as_ref() != Some(&message.applies_to) {
            // A new session begins with everything.
            return Status::data_loss("a message of assignments is missing");
        }
        at = Some(message.results_in);
        worker.assign(message.changes, complete).await;
    }
    Status::unavailable("the dispatcher ended the assignments")
}

async fn progress(mut client: DispatcherClient<Channel>, session: &str, progress: &Progress) -> Status {
    let session = session.to_owned();
    let mut events = progress.listen();
    let reports = async_stream::stream! {
        loop {
            match events.recv().await {
                Ok((task, event)) => yield ProgressReport {
                    session_id: session.clone(),
                    event: serde_json::to_vec(&event).expect("an event has string keys"),
                    task_id: task.map(|task| task.to_string()).unwrap_or_default(),
                },
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => break,
            }
        }
    };
    match client.progress(reports).await {
        Ok(_) => Status::unavailable("the dispatcher listens no more"),
        Err(error) => error,
    }
}
