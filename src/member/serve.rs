//! The node's one port.

use std::time::Duration;

use hoist_link::{Link, Listener};
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};

/// How long calls under way may take once the port is to close.
const DRAIN: Duration = Duration::from_millis(500);
/// A connection on which nothing is heard is asked whether it lives, this often.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
const ALIVE_WITHIN: Duration = Duration::from_secs(10);

/// Serves the port until the token is cancelled.
pub async fn port(listener: Listener, link: Link, routes: Routes, cancel: CancellationToken) {
    let incoming = listener.incoming(link, cancel.clone());
    let server = Server::builder()
        .http2_keepalive_interval(Some(ALIVE_EVERY))
        .http2_keepalive_timeout(Some(ALIVE_WITHIN))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, cancel.clone().cancelled_owned());
    until(server, cancel).await;
}

/// Drives a server; its calls end soon after the token is cancelled.
pub async fn until(server: impl Future<Output = Result<(), tonic::transport::Error>>, cancel: CancellationToken) {
    let late = async {
        cancel.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = server => if let Err(error) = ended {
            tracing::error!(%error, "the node's port ended");
        },
        () = late => {}
    }
}
