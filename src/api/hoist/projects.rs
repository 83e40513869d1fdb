//! `/hoist/v1/projects`, `/hoist/v1/tasks` and `/hoist/v1/events`.

use axum::{
    Json,
    body::Body,
    extract::{Path, State as With},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::StreamExt;
use hoist_manager::control::{ControlError, EventStream};
use hoist_proto::spec::{
    DownOptions, Plan, ProjectDetail, ProjectSummary, RmOptions, ScaleOptions, StartOptions, StopOptions, Task,
    UpRequest,
};
use hoist_store::{ProposeError, StoreError};

use crate::api::{
    State,
    body::{ExactBody, JsonBody, OptionalBody},
    error::ApiError,
    forward,
};

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        let status = match &error {
            ControlError::NoSuchProject(_)
            | ControlError::NoSuchService(_)
            | ControlError::NoSuchTask(_)
            | ControlError::NoSuchJob(_)
            | ControlError::NoSuchCron(_)
            | ControlError::NoSuchNetwork(_)
            | ControlError::NoSuchNode(_)
            | ControlError::NoSuchFile { .. } => StatusCode::NOT_FOUND,
            ControlError::Forbidden(_) => StatusCode::FORBIDDEN,
            ControlError::Invalid(_)
            | ControlError::Malformed(_)
            | ControlError::Refused(_)
            | ControlError::Ambiguous { .. } => StatusCode::BAD_REQUEST,
            ControlError::Conflict(_) | ControlError::OutOfSequence { .. } => StatusCode::CONFLICT,
            ControlError::Precondition(_) => StatusCode::BAD_REQUEST,
            ControlError::Store(StoreError::Propose(ProposeError::NotLeader { .. } | ProposeError::Dropped)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ControlError::Store(_) | ControlError::Pki(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::from_error(status, &error)
    }
}

/// `GET /hoist/v1/projects`.
pub async fn list(With(state): With<State>) -> Result<Json<Vec<ProjectSummary>>, ApiError> {
    Ok(Json(state.control()?.projects()))
}

/// `GET /hoist/v1/projects/{name}`.
pub async fn inspect(With(state): With<State>, Path(name): Path<String>) -> Result<Json<ProjectDetail>, ApiError> {
    Ok(Json(state.control()?.project(&name)?))
}

/// `GET /hoist/v1/tasks/{id}`.
pub async fn task(With(state): With<State>, Path(id): Path<String>) -> Result<Json<Task>, ApiError> {
    Ok(Json(state.control()?.task(&id)?))
}

/// `GET /hoist/v1/tasks/{id}/explain`: why it is where it is, or why it waits.
pub async fn explain(With(state): With<State>, Path(id): Path<String>) -> Result<Json<serde_json::Value>, ApiError> {
    let (task, explanation) = state.control()?.explain(&id)?;
    Ok(Json(serde_json::json!({ "task": task, "placement": explanation })))
}

/// `GET /hoist/v1/events`: every change of every task.
pub async fn events(With(state): With<State>) -> Result<Response, ApiError> {
    Ok(lines(&state, state.control()?.events()))
}

/// `POST /hoist/v1/projects/{name}/plan`.
pub async fn plan(
    With(state): With<State>,
    Path(name): Path<String>,
    headers: HeaderMap,
    ExactBody(mut request): ExactBody<UpRequest>,
) -> Result<Json<Plan>, ApiError> {
    request.passed_by = forward::passed_by(&headers);
    Ok(Json(state.control()?.plan(&name, request).await?))
}

/// `POST /hoist/v1/projects/{name}/up`.
pub async fn up(
    With(state): With<State>,
    Path(name): Path<String>,
    headers: HeaderMap,
    ExactBody(mut request): ExactBody<UpRequest>,
) -> Result<Response, ApiError> {
    request.passed_by = forward::passed_by(&headers);
    Ok(lines(&state, state.control()?.up(&name, request)))
}

/// `POST /hoist/v1/projects/{name}/create`: as `up`, and nothing is started.
pub async fn create(
    With(state): With<State>,
    Path(name): Path<String>,
    headers: HeaderMap,
    ExactBody(mut request): ExactBody<UpRequest>,
) -> Result<Response, ApiError> {
    request.passed_by = forward::passed_by(&headers);
    request.options.no_start = true;
    Ok(lines(&state, state.control()?.up(&name, request)))
}

/// `POST /hoist/v1/projects/{name}/down`.
pub async fn down(
    With(state): With<State>,
    Path(name): Path<String>,
    OptionalBody(options): OptionalBody<DownOptions>,
) -> Result<Response, ApiError> {
    Ok(lines(&state, state.control()?.down(&name, options)))
}

/// `POST /hoist/v1/projects/{name}/stop`.
pub async fn stop(
    With(state): With<State>,
    Path(name): Path<String>,
    OptionalBody(options): OptionalBody<StopOptions>,
) -> Result<Response, ApiError> {
    Ok(lines(&state, state.control()?.stop(&name, options)))
}

/// `POST /hoist/v1/projects/{name}/start`.
pub async fn start(
    With(state): With<State>,
    Path(name): Path<String>,
    OptionalBody(options): OptionalBody<StartOptions>,
) -> Result<Response, ApiError> {
    Ok(lines(&state, state.control()?.start(&name, options)))
}

/// `POST /hoist/v1/projects/{name}/scale`.
pub async fn scale(
    With(state): With<State>,
    Path(name): Path<String>,
    JsonBody(options): JsonBody<ScaleOptions>,
) -> Result<Response, ApiError> {
    Ok(lines(&state, state.control()?.scale(&name, options)))
}

/// `POST /hoist/v1/projects/{name}/rm`.
pub async fn rm(
    With(state): With<State>,
    Path(name): Path<String>,
    OptionalBody(options): OptionalBody<RmOptions>,
) -> Result<Response, ApiError> {
    Ok(lines(&state, state.control()?.rm(&name, options)))
}

/// Events as JSON lines. A client that goes away does not end what it asked for.
fn lines(state: &State, events: EventStream) -> Response {
    let lines = events.map(|event| {
        let mut line = serde_json::to_vec(&event).map_err(std::io::Error::other)?;
        line.push(b'\n');
        Ok::<_, std::io::Error>(Bytes::from(line))
    });
    let until = state.stop.clone().cancelled_owned();
    let body = Body::from_stream(lines.take_until(until));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
