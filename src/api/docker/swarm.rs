//! What belongs to a cluster or to plugins: empty answers, or said to be absent.

use axum::Json;
use serde_json::{Value, json};

use crate::api::error::ApiError;

/// Swarm's paths on a node that is no swarm manager.
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
