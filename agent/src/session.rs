//! The session with a dispatcher: registered, heard, kept alive, and opened anew when it breaks.

use std::time::Duration;

use hoist_proto::{
    id::NodeId,
    wire::{
        AssignmentsRequest, HeartbeatRequest, ProgressReport, SessionRequest, assignments_message::Kind,
        dispatcher_client::DispatcherClient,
    },
};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};

use crate::{describe::describe, progress::Progress, worker::Worker};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
const MAX_MESSAGE: usize = 64 << 20;

/// Runs until cancelled.
pub(crate) async fn run(channel: Channel, node: NodeId, worker: Worker, cancel: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        let client = DispatcherClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let ended = tokio::select! {
            () = cancel.cancelled() => break,
            ended = one(client, &node, &worker, &mut pause) => ended,
        };
        tracing::warn!(code = ?ended.code(), "the session with the dispatcher ended: {}", ended.message());
        tokio::select! {
            () = cancel.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    worker.drain().await;
}

/// One session; gives why it ended.
async fn one(mut client: DispatcherClient<Channel>, node: &NodeId, worker: &Worker, pause: &mut Duration) -> Status {
    let description = serde_json::to_vec(&describe()).expect("a description has string keys");
    let request = SessionRequest { node_id: node.to_string(), description, session_id: String::new() };
    let mut messages = match client.session(request).await {
        Ok(answer) => answer.into_inner(),
        Err(error) => return error,
    };
    let session = match messages.next().await {
        Some(Ok(first)) => first.session_id,
        Some(Err(error)) => return error,
        None => return Status::unavailable("the dispatcher said nothing"),
    };
    *pause = FIRST_PAUSE;
    tracing::debug!(session, "registered with the dispatcher");
    let alive = async {
        loop {
            match messages.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => return Status::unavailable("the dispatcher closed the session"),
            }
        }
    };
    tokio::select! {
        ended = alive => ended,
        ended = heartbeats(client.clone(), &session) => ended,
        ended = assignments(client.clone(), &session, worker) => ended,
        ended = worker.reports().send(client.clone(), &session) => ended,
        ended = progress(client, &session, worker.progress()) => ended,
    }
}

async fn heartbeats(mut client: DispatcherClient<Channel>, session: &str) -> Status {
    loop {
        let request = HeartbeatRequest { session_id: session.to_owned() };
        match client.heartbeat(request).await {
            Ok(answer) => tokio::time::sleep(Duration::from_millis(answer.into_inner().period_millis)).await,
            Err(error) => return error,
        }
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
