//! Sessions: connections on which the client serves and the daemon asks.

use std::{
    collections::{HashMap, HashSet},
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::{Request, State as With},
    http::{HeaderMap, Uri, uri::PathAndQuery},
    response::Response,
};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncWrite, Join, ReadBuf},
    sync::Notify,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{
    Status, Streaming,
    client::Grpc,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::api::{
    State,
    error::ApiError,
    stream::hijack::{Hijack, Taken},
};

/// Names a session.
pub const ID: &str = "x-docker-expose-session-uuid";
const SHARED_KEY: &str = "x-docker-expose-session-sharedkey";
const METHOD: &str = "x-docker-expose-session-grpc-method";

/// A client opens its session beside the request that names it: either may come first.
const PATIENCE: Duration = Duration::from_secs(5);
/// Larger messages than any that a client is known to send.
const LARGEST: usize = 32 << 20;
/// Bytes that may be on their way: contexts are large.
const WINDOW: u32 = 4 << 20;

type Reader = Pin<Box<dyn AsyncRead + Send>>;
type Writer = Pin<Box<dyn AsyncWrite + Send>>;

/// A taken connection that says when it is dropped.
pub struct Line {
    io: Join<Reader, Writer>,
    _open: DropGuard,
}

impl Line {
    pub fn new(taken: Taken, gone: &CancellationToken) -> Self {
        Self { io: tokio::io::join(taken.reader, taken.writer), _open: gone.clone().drop_guard() }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// One client's session.
pub struct Session {
    /// The same for builds of the same directory, as far as the client can tell.
    pub shared_key: String,
    /// Methods that the client offers, as paths.
    methods: HashSet<String>,
    channel: Channel,
    /// The connection is closed.
    pub gone: CancellationToken,
}

impl Session {
    async fn open(headers: &HeaderMap, taken: Taken) -> Result<Self, tonic::transport::Error> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let methods = headers.get_all(METHOD).iter().filter_map(|value| value.to_str().ok());
        let gone = CancellationToken::new();
        let line = Mutex::new(Some(Line::new(taken, &gone)));
        let connector = tower::service_fn(move |_: Uri| {
            let line = line.lock().unwrap_or_else(PoisonError::into_inner).take();
            async move { line.map(TokioIo::new).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        let endpoint = Endpoint::from_static("http://session")
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        Ok(Self {
            shared_key: text(SHARED_KEY),
            methods: methods.map(str::to_lowercase).collect(),
            channel: endpoint.connect_with_connector(connector).await?,
            gone,
        })
    }

    /// Whether the client offers a method.
    pub fn offers(&self, path: &str) -> bool {
        self.methods.contains(&path.to_lowercase())
    }

    async fn grpc(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST);
        grpc.ready().await.map_err(|error| Status::unavailable(format!("the session has ended: {error}")))?;
        Ok(grpc)
    }

    /// Asks once.
    ///
    /// # Errors
    /// The client's.
    pub async fn ask<Q, A>(&self, path: &'static str, question: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let codec = ProstCodec::<Q, A>::default();
        let request = tonic::Request::new(question);
        Ok(self.grpc().await?.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
    }

    /// Opens a conversation. It may be answered only after something was said: what is said must not wait for this.
    ///
    /// # Errors
    /// The client's.
    pub async fn converse<Q, A>(
        &self,
        path: &'static str,
        metadata: MetadataMap,
        said: tokio::sync::mpsc::Receiver<Q>,
    ) -> Result<Streaming<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let codec = ProstCodec::<Q, A>::default();
        let mut request = tonic::Request::new(ReceiverStream::new(said));
        *request.metadata_mut() = metadata;
        Ok(self.grpc().await?.streaming(request, PathAndQuery::from_static(path), codec).await?.into_inner())
    }
}

/// All open sessions; a clone is the same.
#[derive(Clone, Default)]
pub struct Sessions {
    open: Arc<Mutex<HashMap<String, Arc<Session>>>>,
    opened: Arc<Notify>,
}

impl Sessions {
    fn change<T>(&self, change: impl FnOnce(&mut HashMap<String, Arc<Session>>) -> T) -> T {
        let value = change(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner));
        self.opened.notify_waiters();
        value
    }

    /// Keeps a session open as long as its client does.
    pub async fn keep(&self, id: &str, headers: &HeaderMap, taken: Taken, stop: CancellationToken) {
        let session = match Session::open(headers, taken).await {
            Ok(session) => Arc::new(session),
            Err(error) => return tracing::debug!(%error, "a session could not be opened"),
        };
        let gone = session.gone.clone();
        self.change(|open| open.insert(id.to_owned(), Arc::clone(&session)));
        tokio::select! {
            () = gone.cancelled() => {}
            () = stop.cancelled() => {}
        }
        // Another one of the same name may have taken its place.
        self.change(|open| open.get(id).is_some_and(|there| Arc::ptr_eq(there, &session)).then(|| open.remove(id)));
    }

    /// A session that is open or is about to be opened.
    ///
    /// # Errors
    /// 404 for one that does not come.
    pub async fn find(&self, id: &str) -> Result<Arc<Session>, ApiError> {
        let found = async {
            loop {
                let mut opened = std::pin::pin!(self.opened.notified());
                opened.as_mut().enable();
                let session = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
                match session {
                    Some(session) => return session,
                    None => opened.await,
                }
            }
        };
        let none =
            |_| ApiError::not_found(format!("there is no session {id:?}: its client has left or never opened it"));
        tokio::time::timeout(PATIENCE, found).await.map_err(none)
    }
}

/// `POST /session`.
///
/// # Errors
/// 400 for a request that names no session or asks for no upgrade.
pub async fn session(With(state): With<State>, request: Request) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let id = headers.get(ID).and_then(|value| value.to_str().ok()).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| ApiError::bad_request("a session needs the header X-Docker-Expose-Session-Uuid"))?;
    let (id, hijack) = (id.to_owned(), Hijack::new(request));
    if !hijack.is_upgrade() {
        return Err(ApiError::bad_request(
            "a session is an upgrade of its connection: Connection: Upgrade, Upgrade: h2c",
        ));
    }
    let (sessions, stop) = (state.builds.sessions.clone(), state.stop.clone());
    Ok(hijack.answer("application/vnd.docker.raw-stream", &state.tasks, move |taken| async move {
        sessions.keep(&id, &headers, taken, stop).await;
    }))
}
