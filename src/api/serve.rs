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
use tokio::{net::UnixListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{stream::connection::Connection, version};

/// How long answers under way may take once the daemon is told to stop.
const DRAIN: Duration = Duration::from_millis(500);

/// Serves a listener until `stop`.
pub async fn serve(listener: UnixListener, router: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), stop.clone()));
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

async fn connection(stream: tokio::net::UnixStream, router: Router, stop: CancellationToken) {
    let Ok(stream) = Connection::open(stream).await else { return };
    let service = service_fn(move |request: Request<Incoming>| answer(router.clone(), request.map(Body::new)));
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
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
        Err(err) => err.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert("api-version", HeaderValue::from_static(API_VERSION));
    headers.insert("docker-experimental", HeaderValue::from_static("false"));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    headers.insert(header::SERVER, HeaderValue::from_static(concat!("Hoist/", env!("CARGO_PKG_VERSION"), " (linux)")));
    Ok(response)
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
