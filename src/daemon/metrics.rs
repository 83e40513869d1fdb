//! Where a monitor reads: `metrics-addr`, without a word of who asks.

use axum::{Router, http::header, response::IntoResponse, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{DaemonError, DaemonSettings};
use crate::api::{State, metrics};

/// The form of the text.
const CONTENT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The place where it is listened.
pub struct Listener(TcpListener);

impl Listener {
    /// Opens the place that the settings name, if they do.
    pub async fn bind(settings: &DaemonSettings) -> Result<Option<Self>, DaemonError> {
        let Some(address) = settings.metrics_addr else { return Ok(None) };
        let listener = TcpListener::bind(address).await.map_err(|err| DaemonError::Setting {
            setting: "metrics-addr",
            value: address.to_string(),
            reason: err.to_string(),
        })?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "metrics are shown to whoever can reach this address");
        }
        Ok(Some(Self(listener)))
    }

    /// Answers `GET /metrics` until `stop`.
    pub async fn serve(self, state: State, stop: CancellationToken) {
        let router = Router::new().route("/metrics", get(async move || answer(&state).await));
        let served = axum::serve(self.0, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(err) = served.await {
            tracing::warn!("metrics: {err}");
        }
    }
}

async fn answer(state: &State) -> axum::response::Response {
    match metrics::text(state).await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT)], text).into_response(),
        Err(err) => err.into_response(),
    }
}
