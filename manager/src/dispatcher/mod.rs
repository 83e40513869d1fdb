//! Speaks with agents: who is there, what each has to do, what became of it.
//!
//! A node is ready while it has a session that sends heartbeats; one that misses three is down. What a
//! node has to do is a function of the store; an agent gets all of it first and then the differences.

mod assignments;
mod attach;
mod holders;
mod news;
pub(crate) mod orphans;
mod router;
mod session;
mod status;
mod topology;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use hoist_proto::{
    id::{NodeId, SessionId},
    spec::{NodeDescription, ProjectEvent},
    wire::{
        AssignmentsMessage, AssignmentsRequest, AttachRequest, AttachResponse, DetachRequest, DetachResponse,
        FindImageRequest, FindImageResponse, FindNetworkRequest, FindNetworkResponse, HeartbeatRequest,
        HeartbeatResponse, KeepAttachmentsRequest, KeepAttachmentsResponse, ProgressReport, ProgressSummary,
        SessionMessage, SessionRequest, UpdateTaskStatusRequest, UpdateTaskStatusResponse,
        dispatcher_server::{self, DispatcherServer},
    },
};
use hoist_store::{Store, StoreError};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{Progress, ProgressEvent, caller, leader::Leadership};
use session::Session;

use crate::queue::Uses;

/// After so many missed calls a node is down.
const MISSED: u32 = 3;
/// No agent has to call more often.
const MIN_PERIOD: Duration = Duration::from_millis(100);

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
    uses: Uses,
    sessions: Mutex<BTreeMap<SessionId, Session>>,
    changed: tokio::sync::Notify,
    router: router::Router,
    leadership: Leadership,
    callers: Callers,
}

/// Who may say that it is a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callers {
    /// Whoever comes: the way in is inside this process.
    Own,
    /// Who shows the node's certificate.
    Certified,
}

impl Dispatcher {
    pub(crate) fn new(store: Store, progress: Progress, leadership: Leadership, callers: Callers) -> Self {
        let (sessions, changed, router) = (Mutex::default(), tokio::sync::Notify::new(), router::Router::default());
        Self {
            inner: Arc::new(Inner {
                store,
                progress,
                uses: Uses::default(),
                sessions,
                changed,
                router,
                leadership,
                callers,
            }),
        }
    }

    /// What the agents say of the tasks' devices.
    pub(crate) fn uses(&self) -> Uses {
        self.inner.uses.clone()
    }

    /// How often an agent is to call.
    fn period(&self) -> Duration {
        let set = self.inner.store.view(|tables| tables.cluster().map(|cluster| cluster.spec.heartbeat));
        set.unwrap_or(Duration::from_secs(5)).max(MIN_PERIOD)
    }

    /// After so long without a call a node is down.
    fn bound(&self) -> Duration {
        self.period() * MISSED
    }

    /// The caller must be that node.
    fn must_be<T>(&self, request: &Request<T>, node: &NodeId) -> Result<(), Status> {
        if self.inner.callers == Callers::Own {
            return Ok(());
        }
        let identity = caller::node(request)?;
        if identity.subject.node == *node {
            return Ok(());
        }
        tracing::warn!(node = %identity.subject.node, "a node that gave itself out as {node} was refused");
        Err(Status::permission_denied(format!("the certificate is that of node {}", identity.subject.node)))
    }

    /// The session that a request names, which must be its caller's.
    fn session_of<T>(&self, request: &Request<T>, id: &str) -> Result<(SessionId, NodeId), Status> {
        self.inner.leadership.require()?;
        let (session, node) = self.touch(id)?;
        self.must_be(request, &node)?;
        Ok((session, node))
    }

    /// Brings what is committed to the streams; runs until cancelled.
    pub(crate) async fn route(&self, cancel: CancellationToken) {
        self.inner.router.run(self.inner.store.clone(), cancel).await;
    }

    /// The gRPC service, to be put on any transport.
    pub fn server(&self) -> DispatcherServer<Dispatcher> {
        DispatcherServer::new(self.clone()).max_decoding_message_size(64 << 20)
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, BTreeMap<SessionId, Session>> {
        self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node of a session, which lives on by being used.
    fn touch(&self, id: &str) -> Result<(SessionId, NodeId), Status> {
        let unknown = || Status::not_found("no such session: register again");
        let id: SessionId = id.parse().map_err(|_| unknown())?;
        let bound = self.bound();
        let mut sessions = self.sessions();
        let session = sessions.get_mut(&id).ok_or_else(unknown)?;
        session.deadline = Instant::now() + bound;
        Ok((id, session.node.clone()))
    }
}

#[tonic::async_trait]
impl dispatcher_server::Dispatcher for Dispatcher {
    type SessionStream = Messages<SessionMessage>;
    type AssignmentsStream = Messages<AssignmentsMessage>;

    async fn session(&self, request: Request<SessionRequest>) -> Answer<Self::SessionStream> {
        let leads = self.inner.leadership.require()?;
        let node: NodeId =
            request.get_ref().node_id.parse().map_err(|err| Status::invalid_argument(format!("{err}")))?;
        self.must_be(&request, &node)?;
        let description: NodeDescription = serde_json::from_slice(&request.get_ref().description)
            .map_err(|err| Status::invalid_argument(format!("malformed description of the node: {err}")))?;
        self.must_understand(&node, description.protocol).await?;
        let (id, closed) = self.open_session(&node, description).await?;
        let dispatcher = self.clone();
        Ok(Response::new(Box::pin(async_stream::stream! {
            // Dropping the stream, when the agent goes away, ends the session.
            let guard = session::Guard { dispatcher, session: id };
            let store = &guard.dispatcher.inner.store;
            let mail = guard.dispatcher.inner.router.open(&node);
            let mut told = store.view(|tables| news::of(tables, &node, &guard.session));
            yield Ok(told.clone());
            loop {
                tokio::select! {
                    biased;
                    () = leads.cancelled() => break,
                    () = closed.cancelled() => break,
                    news = mail.next() => if !news.session { continue },
                }
                let now = store.view(|tables| news::of(tables, &node, &guard.session));
                if now != told {
                    told = now;
                    yield Ok(told.clone());
                }
            }
        })))
    }

    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Answer<HeartbeatResponse> {
        let (_, node) = self.session_of(&request, &request.get_ref().session_id)?;
        self.believe(&node).await?;
        self.inner.uses.note(&request.get_ref().uses, tokio::time::Instant::now());
        Ok(Response::new(HeartbeatResponse { period_millis: self.period().as_millis() as u64 }))
    }

    async fn assignments(&self, request: Request<AssignmentsRequest>) -> Answer<Self::AssignmentsStream> {
        let leads = self.inner.leadership.require()?;
        let (_, node) = self.session_of(&request, &request.get_ref().session_id)?;
        let (sender, receiver) = mpsc::channel(8);
        let mail = self.inner.router.open(&node);
        let feed = assignments::feed(self.inner.store.clone(), node, mail, sender, leads);
        // The feed lives in the stream, so that it ends with it.
        let messages = tokio_stream::wrappers::ReceiverStream::new(receiver);
        Ok(Response::new(Box::pin(async_stream::stream! {
            let mut messages = messages;
            tokio::pin!(feed);
            loop {
                tokio::select! {
                    biased;
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
        let (_, node) = self.session_of(&request, &request.get_ref().session_id)?;
        let request = request.into_inner();
        let updates = status::decode(request.updates)?;
        status::write(&self.inner.store, &node, updates).await.map_err(unavailable)?;
        Ok(Response::new(UpdateTaskStatusResponse {}))
    }

    async fn find_network(&self, request: Request<FindNetworkRequest>) -> Answer<FindNetworkResponse> {
        self.session_of(&request, &request.get_ref().session_id)?;
        let name = &request.get_ref().name;
        let network = self.inner.store.view(|tables| attach::find(tables, name).map(|found| found.map(json)))?;
        Ok(Response::new(FindNetworkResponse { network: network.unwrap_or_default() }))
    }

    async fn attach(&self, request: Request<AttachRequest>) -> Answer<AttachResponse> {
        let (_, node) = self.session_of(&request, &request.get_ref().session_id)?;
        let addresses = attach::attach(&self.inner.store, &node, request.into_inner()).await?;
        Ok(Response::new(AttachResponse { addresses: addresses.iter().map(ToString::to_string).collect() }))
    }

    async fn detach(&self, request: Request<DetachRequest>) -> Answer<DetachResponse> {
        let (_, node) = self.session_of(&request, &request.get_ref().session_id)?;
        let DetachRequest { container, network, .. } = request.get_ref();
        attach::detach(&self.inner.store, &node, container, network).await.map_err(unavailable)?;
        Ok(Response::new(DetachResponse {}))
    }

    async fn keep_attachments(&self, request: Request<KeepAttachmentsRequest>) -> Answer<KeepAttachmentsResponse> {
        let (_, node) = self.session_of(&request, &request.get_ref().session_id)?;
        attach::keep(&self.inner.store, &node, &request.get_ref().containers).await.map_err(unavailable)?;
        Ok(Response::new(KeepAttachmentsResponse {}))
    }

    async fn find_image(&self, request: Request<FindImageRequest>) -> Answer<FindImageResponse> {
        let (_, node) = self.session_of(&request, &request.get_ref().session_id)?;
        let task = request.get_ref().task_id.parse().map_err(|error| Status::invalid_argument(format!("{error}")))?;
        let nodes = self.inner.store.view(|tables| holders::of(tables, &task, &node));
        Ok(Response::new(FindImageResponse { nodes }))
    }

    async fn progress(&self, request: Request<Streaming<ProgressReport>>) -> Answer<ProgressSummary> {
        // One stream is one caller's, and each report names its session.
        let caller = match self.inner.callers {
            Callers::Own => None,
            Callers::Certified => Some(caller::node(&request)?.subject.node),
        };
        let mut reports = request.into_inner();
        while let Some(report) = reports.next().await {
            let report = report?;
            self.inner.leadership.require()?;
            let (_, node) = self.touch(&report.session_id)?;
            if caller.as_ref().is_some_and(|caller| *caller != node) {
                return Err(Status::permission_denied("the session is another node's"));
            }
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
