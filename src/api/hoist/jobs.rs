//! `/hoist/v1/jobs`, `/hoist/v1/queue` and `/hoist/v1/usage`.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State as With},
    http::StatusCode,
};
use hoist_manager::control::Started;
use hoist_proto::spec::{Cron, CronSpec, Job, JobRequest, QueueSpec, Submitted, Task, UsageRow};

use crate::api::{State, body::ExactBody, error::ApiError, params::Params, peer::Peer};

/// `GET /hoist/v1/jobs`.
pub async fn list(With(state): With<State>) -> Result<Json<Vec<Job>>, ApiError> {
    Ok(Json(state.control()?.jobs()))
}

/// `POST /hoist/v1/jobs`.
pub async fn submit(
    With(state): With<State>,
    peer: Peer,
    ExactBody(request): ExactBody<JobRequest>,
) -> Result<(StatusCode, Json<Submitted>), ApiError> {
    let submitted = state.control()?.submit(peer.caller(), request).await?;
    Ok((StatusCode::CREATED, Json(submitted)))
}

/// `GET /hoist/v1/jobs/{name}`: one job, or all of an array.
pub async fn inspect(With(state): With<State>, Path(name): Path<String>) -> Result<Json<Vec<Job>>, ApiError> {
    Ok(Json(state.control()?.jobs_called(&name)?))
}

/// `GET /hoist/v1/jobs/{name}/tasks`: the tasks of their last attempts, by rank.
pub async fn tasks(With(state): With<State>, Path(name): Path<String>) -> Result<Json<Vec<Task>>, ApiError> {
    Ok(Json(state.control()?.job_tasks(&name)?))
}

/// `GET /hoist/v1/jobs/{name}/start?reason=TEXT`: answers when the job's first task has a container, when it has ended,
/// or when it waits for another reason than that.
pub async fn start(
    With(state): With<State>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Json<Started>, ApiError> {
    Ok(Json(state.control()?.wait_for_start(&name, params.text("reason").unwrap_or_default()).await?))
}

/// `GET /hoist/v1/crons`.
pub async fn crons(With(state): With<State>) -> Result<Json<BTreeMap<String, Cron>>, ApiError> {
    Ok(Json(state.control()?.crons()))
}

/// `POST /hoist/v1/crons`: answers with its name.
pub async fn add_cron(
    With(state): With<State>,
    peer: Peer,
    ExactBody(spec): ExactBody<CronSpec>,
) -> Result<(StatusCode, Json<String>), ApiError> {
    Ok((StatusCode::CREATED, Json(state.control()?.add_cron(peer.caller(), spec).await?)))
}

/// `DELETE /hoist/v1/crons/{name}`.
pub async fn remove_cron(
    With(state): With<State>,
    peer: Peer,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.control()?.remove_cron(peer.caller(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /hoist/v1/crons/{name}/pause`.
pub async fn pause_cron(
    With(state): With<State>,
    peer: Peer,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.control()?.pause_cron(peer.caller(), &name, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /hoist/v1/crons/{name}/resume`.
pub async fn resume_cron(
    With(state): With<State>,
    peer: Peer,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.control()?.pause_cron(peer.caller(), &name, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /hoist/v1/jobs/{name}/wait`: answers when they have ended.
pub async fn wait(With(state): With<State>, Path(name): Path<String>) -> Result<Json<Vec<Job>>, ApiError> {
    Ok(Json(state.control()?.wait_for_jobs(&name).await?))
}

/// `POST /hoist/v1/jobs/{name}/cancel`.
pub async fn cancel(
    With(state): With<State>,
    peer: Peer,
    Path(name): Path<String>,
) -> Result<Json<Vec<String>>, ApiError> {
    Ok(Json(state.control()?.cancel_jobs(peer.caller(), &name).await?))
}

/// `POST /hoist/v1/jobs/{name}/hold`.
pub async fn hold(
    With(state): With<State>,
    peer: Peer,
    Path(name): Path<String>,
) -> Result<Json<Vec<String>>, ApiError> {
    Ok(Json(state.control()?.hold_jobs(peer.caller(), &name, true).await?))
}

/// `POST /hoist/v1/jobs/{name}/release`.
pub async fn release(
    With(state): With<State>,
    peer: Peer,
    Path(name): Path<String>,
) -> Result<Json<Vec<String>>, ApiError> {
    Ok(Json(state.control()?.hold_jobs(peer.caller(), &name, false).await?))
}

/// `POST /hoist/v1/jobs/{name}/requeue`.
pub async fn requeue(
    With(state): With<State>,
    peer: Peer,
    Path(name): Path<String>,
) -> Result<Json<Vec<String>>, ApiError> {
    Ok(Json(state.control()?.requeue_jobs(peer.caller(), &name).await?))
}

/// `DELETE /hoist/v1/jobs/{name}`.
pub async fn remove(
    With(state): With<State>,
    peer: Peer,
    Path(name): Path<String>,
) -> Result<Json<Vec<String>>, ApiError> {
    Ok(Json(state.control()?.remove_jobs(peer.caller(), &name).await?))
}

/// `GET /hoist/v1/queue`: the queue's rules.
pub async fn rules(With(state): With<State>) -> Result<Json<QueueSpec>, ApiError> {
    Ok(Json(state.control()?.queue_spec()))
}

/// `PUT /hoist/v1/queue`.
pub async fn set_rules(
    With(state): With<State>,
    peer: Peer,
    ExactBody(spec): ExactBody<QueueSpec>,
) -> Result<StatusCode, ApiError> {
    state.control()?.set_queue_spec(peer.caller(), spec).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /hoist/v1/usage`.
pub async fn usage(With(state): With<State>) -> Result<Json<Vec<UsageRow>>, ApiError> {
    Ok(Json(state.control()?.usage()))
}
