//! Speaks with agents: who is there, what each has to do, what became of it.
//!
//! A node is ready while it has a session that sends heartbeats; one that misses three is down. What a
//! node has to do is a function of the store; an agent gets all of it first and then the differences.

mod assignments;
mod session;
mod status;

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use hoist_proto::{
    id::{NodeId, SessionId},
    spec::{Node, NodeDescription, ProjectEvent},
    wire::{
        AssignmentsMessage, AssignmentsRequest, HeartbeatRequest, HeartbeatResponse, ProgressReport, ProgressSummary,
        SessionMessage, SessionRequest, UpdateTaskStatusRequest, UpdateTaskStatusResponse,
        dispatcher_server::{self, DispatcherServer},
    },
};
use hoist_store::{Store, StoreError};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{Progress, ProgressEvent};
use session::Session;

/// How often an agent calls.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);
/// After so many missed calls a node is down.
const MISSED: u32 = 3;

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The dispatcher. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    progress: Progress,
    sessions: Mutex<HashMap<SessionId, Session>>,
    changed: tokio::sync::Notify,
    cancel: CancellationToken,
}

impl Dispatcher {
    pub(crate) fn new(store: Store, progress: Progress, cancel: CancellationToken) -> Self {
        let inner = Inner { store, progress, sessions: Mutex::default(), changed: tokio::sync::Notify::new(), cancel };
        Self { inner: Arc::new(inner) }
    }

    /// The gRPC service, to be put on any transport.
    pub fn server(&self) -> DispatcherServer<Dispatcher> {
        DispatcherServer::new(self.clone()).max_decoding_message_size(64 << 20)
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Session>> {
        self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node of a session, which lives on by being used.
    fn touch(&self, id: &str) -> Result<(SessionId, NodeId), Status> {
        let unknown = || Status::not_found("no such session: register again");
        let id: SessionId = id.parse().map_err(|_| unknown())?;
        let mut sessions = self.sessions();
        let session = sessions.get_mut(&id).ok_or_else(unknown)?;
        session.deadline = Instant::now() + HEARTBEAT * MISSED;
        Ok((id, session.node.clone()))
    }
}

#[tonic::async_trait]
impl dispatcher_server::Dispatcher for Dispatcher {
    type SessionStream = Messages<SessionMessage>;
    type AssignmentsStream = Messages<AssignmentsMessage>;

    async fn session(&self, request: Request<SessionRequest>) -> Answer<Self::SessionStream> {
        let request = request.into_inner();
        let node: NodeId = request.node_id.parse().map_err(|err| Status::invalid_argument(format!("{err}")))?;
        let description: NodeDescription = serde_json::from_slice(&request.description)
            .map_err(|err| Status::invalid_argument(format!("malformed description of the node: {err}")))?;
        let (id, closed) = self.open_session(&node, description).await?;
        let record = self.inner.store.view(|tables| tables.get::<Node>(&node).cloned());
        let first =
            SessionMessage { session_id: id.to_string(), node: record.map(|node| json(&*node)).unwrap_or_default() };
        let (dispatcher, cancel) = (self.clone(), self.inner.cancel.clone());
        Ok(Response::new(Box::pin(async_stream::stream! {
            // Dropping the stream, when the agent goes away, ends the session.
            let _guard = session::Guard { dispatcher, session: id };
            yield Ok(first);
            tokio::select! {
                () = cancel.cancelled() => {}
                () = closed.cancelled() => {}
            }
        })))
    }

    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Answer<HeartbeatResponse> {
        self.touch(&request.into_inner().session_id)?;
        Ok(Response::new(HeartbeatResponse { period_millis: HEARTBEAT.as_millis() as u64 }))
    }

    async fn assignments(&self, request: Request<AssignmentsRequest>) -> Answer<Self::AssignmentsStream> {
        let (_, node) = self.touch(&request.into_inner().session_id)?;
        let (sender, receiver) = mpsc::channel(8);
        let (store, cancel) = (self.inner.store.clone(), self.inner.cancel.clone());
        let feed = assignments::feed(store, node, sender, cancel);
        // The feed lives in the stream, so that it ends with it.
        let messages = tokio_stream::wrappers::ReceiverStream::new(receiver);
        Ok(Response::new(Box::pin(async_stream::stream! {
            let mut messages = messages;
            tokio::pin!(feed);
            loop {
                tokio::select! {
                    () = &mut feed => break,
                    message = messages.next() => match message {
                        Some(message) => yield Ok(message),
                        None => break,
                    },
                }
            }
            while let Some(message) = messages.next().await {
                yield Ok(message);
            }
        })))
    }

    async fn update_task_status(&self, request: Request<UpdateTaskStatusRequest>) -> Answer<UpdateTaskStatusResponse> {
        let request = request.into_inner();
        let (_, node) = self.touch(&request.session_id)?;
        let updates = status::decode(request.updates)?;
        status::write(&self.inner.store, &node, updates).await.map_err(unavailable)?;
        Ok(Response::new(UpdateTaskStatusResponse {}))
    }

    async fn progress(&self, request: Request<Streaming<ProgressReport>>) -> Answer<ProgressSummary> {
        let mut reports = request.into_inner();
        while let Some(report) = reports.next().await {
            let report = report?;
            self.touch(&report.session_id)?;
            let Ok(event) = serde_json::from_slice::<ProjectEvent>(&report.event) else {
                // A newer agent may tell of things that this program does not know.
                continue;
            };
            self.inner.progress.tell(ProgressEvent { task: report.task_id.parse().ok(), event });
        }
        Ok(Response::new(ProgressSummary {}))
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records have string keys and memory takes the bytes")
}

fn unavailable(error: StoreError) -> Status {
    Status::unavailable(format!("cannot write: {error}"))
}
