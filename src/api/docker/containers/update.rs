//! `POST /containers/{id}/update`.

use axum::{
    Json,
    extract::{Path, State as With},
};
use hoist_engine::UpdateOptions;

use crate::api::{
    State,
    body::JsonBody,
    dto::{container::Updated, host_config::HostConfig},
    error::ApiError,
    translate::{restart_policy, update_limits},
    version::ApiVersion,
};

pub async fn update(
    With(state): With<State>,
    Path(id): Path<String>,
    version: ApiVersion,
    JsonBody(mut body): JsonBody<HostConfig>,
) -> Result<Json<Updated>, ApiError> {
    let restart = match body.restart_policy.name.as_str() {
        "" if body.restart_policy.maximum_retry_count == 0 => None,
        _ => Some(restart_policy(&body.restart_policy)?),
    };
    let current = state.engine.inspect(&id).await?.spec.resources;
    let options = UpdateOptions { resources: update_limits(&mut body, &current, version)?, restart };
    let warnings = state.engine.update(&id, options).await?;
    Ok(Json(Updated { warnings }))
}
