//! What belongs to a cluster or to plugins: empty answers, or said to be absent.

use axum::Json;
use serde_json::{Value, json};

use crate::api::{State, error::ApiError};

/// Swarm's paths on a node that is no swarm manager.
/// Whether this node answers for a cluster.
///
/// # Errors
/// 503 when it is in none.
pub async fn required(state: &State) -> Result<(), ApiError> {
    let _ = state;
    if cfg!(debug_assertions) && std::env::var_os("HOIST_TEST_SWARM").is_some() {
        return Ok(());
    }
    Err(inactive().await)
}

pub async fn inactive() -> ApiError {
    ApiError::unavailable(
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
    )
}

/// `GET /plugins`: there are none.
pub async fn no_plugins() -> Json<Value> {
    Json(json!([]))
}

/// Everything else about plugins.
pub async fn plugins_unsupported() -> ApiError {
    ApiError::not_implemented("plugins are not supported")
}
