//! Connections: accepted, each served by a task of its own, all ended with the daemon.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, header},
    response::{IntoResponse, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::DuplexStream,
    net::{TcpListener, TcpStream, UnixListener},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    error::ApiError,
    peer::Peer,
    stream::{
        connection::{Connection, Socket},
        gone::Client,
    },
    version,
};

/// How long answers under way may take once the daemon is told to stop.
const DRAIN: Duration = Duration::from_millis(500);

/// How long a client may take to show who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where clients come in.
pub enum Listener {
    Unix(UnixListener),
    /// Clients show a certificate before they get a word.
    Tls(TcpListener, TlsAcceptor),
}

/// A client that has come in, and is not yet known.
enum Arrival {
    Known(Socket),
    Unknown(TcpStream, TlsAcceptor),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<Arrival> {
        match self {
            Self::Unix(listener) => Ok(Arrival::Known(Socket::Unix(listener.accept().await?.0))),
            Self::Tls(listener, acceptor) => {
                let (stream, _) = listener.accept().await?;
                // Small answers must not wait for each other; where it cannot be had, they do.
                let _ = stream.set_nodelay(true);
                Ok(Arrival::Unknown(stream, acceptor.clone()))
            }
        }
    }
}

impl Arrival {
    /// The client's stream, once it has shown who it is.
    async fn known(self) -> Option<Socket> {
        match self {
            Self::Known(socket) => Some(socket),
            Self::Unknown(stream, acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => Some(Socket::Tls(Box::new(stream))),
                Ok(Err(err)) => {
                    tracing::info!("a client was turned away: {err}");
                    None
                }
                Err(_) => None,
            },
        }
    }
}

/// Serves a listener until `stop`.
pub async fn serve(listener: Listener, router: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(arrival) => {
                    connections.spawn(connection(arrival, router.clone(), stop.clone()));
                }
                Err(err) => {
                    // Out of descriptors: those that are open must end first.
                    tracing::warn!("accepting a connection: {err}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
    connections.shutdown().await;
}

/// Serves one connection that came through the cluster.
pub async fn serve_tunnel(stream: DuplexStream, router: Router, stop: CancellationToken) {
    connection(Arrival::Known(Socket::Tunnel(stream)), router, stop).await;
}

async fn connection(arrival: Arrival, router: Router, stop: CancellationToken) {
    let Some(stream) = arrival.known().await else { return };
    let peer = Peer::of(&stream);
    let client = Client::of(&stream);
    let Ok(stream) = Connection::open(stream).await else { return };
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (router, client) = (router.clone(), client.clone());
        async move {
            let response = answer(router, request.map(Body::new)).await?;
            Ok::<_, Infallible>(match client {
                Some(client) => response.map(|body| client.while_here(body)),
                None => response,
            })
        }
    });
    let mut builder = http1::Builder::new();
    // A client may end its writing side once the request is sent and still read the answer.
    builder.half_close(true).timer(TokioTimer::new()).max_buf_size(128 << 10);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(err) = ended {
        tracing::debug!("connection: {err}");
    }
}

async fn answer(router: Router, mut request: Request<Body>) -> Result<Response, Infallible> {
    let mut response = match version::strip(&mut request) {
        Ok(()) => {
            tracing::debug!(method = %request.method(), uri = %request.uri(), "request");
            match router.oneshot(request).await {
                Ok(response) => worded(response).await,
                Err(never) => match never {},
            }
        }
        Err(err) => err.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert("api-version", HeaderValue::from_static(API_VERSION));
    // Docker's client asks for no checkpoint where it is not true.
    headers.insert("docker-experimental", HeaderValue::from_static("true"));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    headers.insert(header::SERVER, HeaderValue::from_static(concat!("Hoist/", env!("CARGO_PKG_VERSION"), " (linux)")));
    Ok(response)
}

/// Refusals of the framework's own are plain text; clients read errors as JSON.
async fn worded(response: Response) -> Response {
    let status = response.status();
    let plain =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !plain || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    match axum::body::to_bytes(response.into_body(), 4 << 10).await {
        Ok(bytes) => ApiError::new(status, String::from_utf8_lossy(&bytes)).into_response(),
        Err(err) => ApiError::new(status, err.to_string()).into_response(),
    }
}

const API_VERSION: &str = "1.56";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_the_newest_version() {
        assert_eq!(API_VERSION, version::ApiVersion::NEWEST.to_string());
    }
}
