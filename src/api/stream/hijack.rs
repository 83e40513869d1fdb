//! A request's connection taken over.

use std::pin::Pin;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::TryStreamExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_util::io::{ReaderStream, StreamReader};

use super::connection::Connection;

/// The protocol of Hoist's own upgrades, whose clients read the head as it should be read.
pub const OURS: &str = "hoist-frames";

/// Both directions of a taken connection.
pub struct Taken {
    pub reader: Pin<Box<dyn AsyncRead + Send>>,
    pub writer: Pin<Box<dyn AsyncWrite + Send>>,
}

/// A request that asks for its connection.
pub struct Hijack {
    upgrade: Option<(OnUpgrade, HeaderValue)>,
    body: Body,
}

/// Bytes on their way when a request has no upgrade and its answer's body stands in for one.
const BUFFER: usize = 64 << 10;

impl Hijack {
    /// From a request whose body, if it has one, is still unread.
    pub fn new(request: Request) -> Self {
        let (mut parts, body) = request.into_parts();
        let name = parts.headers.get(header::UPGRADE).cloned();
        let upgrade = parts.extensions.remove::<OnUpgrade>().zip(name);
        Self { upgrade, body }
    }

    /// From the parts of a request whose body was read.
    pub fn from_parts(upgrade: Option<OnUpgrade>, headers: &HeaderMap) -> Self {
        Self { upgrade: upgrade.zip(headers.get(header::UPGRADE).cloned()), body: Body::empty() }
    }

    /// Whether the client asked for an upgrade in words.
    pub fn is_upgrade(&self) -> bool {
        self.upgrade.is_some()
    }

    /// Answers, and has `talk` go on with the connection. Without an upgrade the request's body is
    /// what comes in and the answer's body what goes out.
    pub fn answer<F: Future<Output = ()> + Send + 'static>(
        self,
        content_type: &'static str,
        tasks: &tokio_util::task::TaskTracker,
        talk: impl FnOnce(Taken) -> F + Send + 'static,
    ) -> Response {
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let Some((upgrade, name)) = self.upgrade else {
            let (ours, theirs) = tokio::io::simplex(BUFFER);
            let reader = StreamReader::new(self.body.into_data_stream().map_err(std::io::Error::other));
            tasks.spawn(talk(Taken { reader: Box::pin(reader), writer: Box::pin(theirs) }));
            return ([kind], Body::from_stream(ReaderStream::new(ours))).into_response();
        };
        let ours = name == OURS;
        tasks.spawn(async move {
            match upgrade.await {
                Ok(upgraded) => {
                    let parts = match upgraded.downcast::<TokioIo<Connection>>() {
                        Ok(parts) => parts,
                        Err(_) => return tracing::error!("a connection that was taken over is of an unknown kind"),
                    };
                    let connection = parts.io.into_inner();
                    if !ours {
                        connection.head_taken().await;
                    }
                    let (reader, writer) = tokio::io::split(connection);
                    let reader = std::io::Cursor::new(parts.read_buf).chain(reader);
                    talk(Taken { reader: Box::pin(reader), writer: Box::pin(writer) }).await;
                }
                Err(err) => tracing::debug!("a client left before its upgrade: {err}"),
            }
        });
        let headers = [kind, (header::CONNECTION, HeaderValue::from_static("Upgrade")), (header::UPGRADE, name)];
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    }
}
