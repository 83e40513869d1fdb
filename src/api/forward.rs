//! What only the leader of a cluster can do goes to it, whichever manager was asked.

use axum::{
    body::Body,
    extract::{Request, State as With},
    http::{HeaderMap, HeaderValue, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hoist_proto::id::NodeId;
use hyper_util::rt::TokioIo;

use super::{State, error::ApiError, peer::Peer, version::ApiVersion};

/// Marks a request that another manager has passed on: it goes no further.
const PASSED: &str = "hoist-passed-on";

/// How far the log was when the leader answered.
const INDEX: &str = "hoist-index";

/// Reads are answered here; writes go to the leader when this manager is not it. Whoever reads here after such a write
/// sees it.
pub async fn to_leader(With(state): With<State>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let passed = was_passed(&request);
    let Some(leader) = state.member.other_leader() else {
        let mut response = next.run(request).await;
        if let Some(control) = state.member.control().filter(|_| passed) {
            response.headers_mut().insert(INDEX, control.index().into());
        }
        return response;
    };
    if passed {
        return ApiError::unavailable("the cluster's leader has just changed; try again").into_response();
    }
    match to_node(&state, &leader, request).await {
        Ok(mut response) => {
            let index = response.headers_mut().remove(INDEX).and_then(|index| index.to_str().ok()?.parse().ok());
            if let Some((index, control)) = index.zip(state.member.control()) {
                control.caught_up(index).await;
            }
            response
        }
        Err(error) => error.into_response(),
    }
}

/// Whether another manager has passed the request on.
pub fn was_passed(request: &Request) -> bool {
    request.headers().contains_key(PASSED)
}

/// Which manager has passed the request on.
pub fn passed_by(headers: &HeaderMap) -> Option<NodeId> {
    headers.get(PASSED)?.to_str().ok()?.parse().ok()
}

/// Passes a request on to another node's API, and its answer back.
///
/// # Errors
/// When the node cannot be reached.
pub async fn to_node(state: &State, node: &NodeId, mut request: Request) -> Result<Response, ApiError> {
    let stream = state.member.tunnel(node).await?;
    let lost = |error: hyper::Error| ApiError::unavailable(format!("the connection to node {node} broke: {error}"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    state.tasks.spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!("a request that was passed on: {error}");
        }
    });
    let version = request.extensions().get::<ApiVersion>().copied();
    let peer = Peer::of_request(request.extensions(), request.headers());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = version.map_or_else(|| path.to_owned(), |version| format!("/v{version}{path}"));
    *request.uri_mut() = path.parse::<Uri>().map_err(|error| ApiError::bad_request(error.to_string()))?;
    let headers = request.headers_mut();
    let own = state.member.node().and_then(|node| HeaderValue::from_str(node.as_str()).ok());
    headers.insert(PASSED, own.unwrap_or(HeaderValue::from_static("1")));
    peer.tell(headers);
    headers.insert(header::HOST, HeaderValue::from_static("hoist"));
    let wants = headers.contains_key(header::UPGRADE);
    let ours = wants.then(|| hyper::upgrade::on(&mut request));
    let mut response = sender.send_request(request).await.map_err(lost)?;
    if let Some(ours) = ours
        && response.status() == axum::http::StatusCode::SWITCHING_PROTOCOLS
    {
        let theirs = hyper::upgrade::on(&mut response);
        state.tasks.spawn(async move {
            if let (Ok(ours), Ok(theirs)) = tokio::join!(ours, theirs) {
                let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
                // Either side may end the conversation.
                let _ = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await;
            }
        });
    }
    Ok(response.map(Body::new))
}
