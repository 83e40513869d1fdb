//! `/containers/{id}/checkpoints`, as dockerd has it when experiments are allowed.

use axum::{
    Json,
    extract::{Path, State as With},
    http::StatusCode,
};
use hoist_engine::CheckpointOptions;
use serde::{Deserialize, Serialize};

use crate::api::{State, body::JsonBody, error::ApiError, params::Params};

/// What is asked for.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    #[serde(rename = "CheckpointID")]
    id: String,
    #[serde(rename = "CheckpointDir", default)]
    dir: String,
    /// The container ends.
    #[serde(rename = "Exit", default)]
    exit: bool,
}

/// One of a list.
#[derive(Debug, Serialize)]
pub struct Summary {
    #[serde(rename = "Name")]
    name: String,
}

pub async fn create(
    With(state): With<State>,
    Path(id): Path<String>,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<StatusCode, ApiError> {
    let dir = Some(wanted.dir).filter(|dir| !dir.is_empty()).map(Into::into);
    let options = CheckpointOptions { name: wanted.id, dir, leave_running: !wanted.exit };
    state.engine.checkpoint(&id, options).await?;
    Ok(StatusCode::CREATED)
}

pub async fn list(
    With(state): With<State>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<Vec<Summary>>, ApiError> {
    let names = state.engine.checkpoints(&id, params.text("dir").map(AsRef::as_ref)).await?;
    Ok(Json(names.into_iter().map(|name| Summary { name }).collect()))
}

pub async fn remove(
    With(state): With<State>,
    Path((id, checkpoint)): Path<(String, String)>,
    params: Params,
) -> Result<StatusCode, ApiError> {
    state.engine.remove_checkpoint(&id, &checkpoint, params.text("dir").map(AsRef::as_ref)).await?;
    Ok(StatusCode::NO_CONTENT)
}
