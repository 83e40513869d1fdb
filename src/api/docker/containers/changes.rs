//! What a container has changed: `changes`, `export`, `commit`.

use axum::{
    Json,
    extract::{Path, State as With},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use hoist_image::{ChangeKind, CommitOptions, ContainerConfig};
use serde_json::{Value, json};

use crate::api::{
    State,
    body::OptionalBody,
    docker::images::{publish_with, pull::reference},
    dto::{config::Config, container::Change},
    error::ApiError,
    params::Params,
};

/// `GET /containers/{id}/changes`.
pub async fn changes(With(state): With<State>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let changes: Vec<Change> = state
        .engine
        .changes(&id)
        .await?
        .into_iter()
        .map(|change| Change {
            path: change.path,
            kind: match change.kind {
                ChangeKind::Modified => 0,
                ChangeKind::Added => 1,
                ChangeKind::Deleted => 2,
            },
        })
        .collect();
    // Docker answers `null` when nothing changed.
    Ok(Json(if changes.is_empty() { Value::Null } else { json!(changes) }))
}

/// `GET /containers/{id}/export`.
pub async fn export(With(state): With<State>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let archive = state.engine.export(&id).await?;
    let body = axum::body::Body::from_stream(tokio_util::io::ReaderStream::with_capacity(archive, 64 << 10));
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], body).into_response())
}

/// `POST /commit`.
pub async fn commit(
    With(state): With<State>,
    params: Params,
    OptionalBody(body): OptionalBody<Config>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let id = params.text("container").ok_or_else(|| ApiError::bad_request("container must be given"))?;
    let name = params.text("repo").map(|repo| reference(repo, params.text("tag"))).transpose()?;
    let text = |name: &str| params.text(name).map(str::to_owned);
    let options = CommitOptions {
        reference: name.clone(),
        author: text("author"),
        comment: text("comment"),
        changes: params
            .all("changes")
            .flat_map(str::lines)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect(),
        config: (body != Config::default()).then(|| image_config(body)),
    };
    let image = state.engine.commit(id, options, params.flag_or("pause", true)).await?;
    if let Some(name) = name {
        publish_with(&state, "tag", (&image.id.to_string(), &name.familiar()), &image);
    }
    Ok((StatusCode::CREATED, Json(json!({ "Id": image.id.to_string() }))))
}

/// What of a container's configuration an image can have.
fn image_config(config: Config) -> ContainerConfig {
    ContainerConfig {
        user: config.user,
        exposed_ports: config.exposed_ports.into_keys().collect(),
        env: config.env,
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        volumes: config.volumes.unwrap_or_default().into_keys().collect(),
        working_dir: config.working_dir,
        labels: config.labels,
        stop_signal: Some(config.stop_signal).filter(|signal| !signal.is_empty()),
        stop_timeout: config.stop_timeout,
        healthcheck: config.healthcheck.map(|check| hoist_image::Healthcheck {
            test: check.test,
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: check.retries,
        }),
        on_build: config.on_build.unwrap_or_default(),
        shell: config.shell.unwrap_or_default(),
        args_escaped: config.args_escaped,
        extra: serde_json::Map::new(),
    }
}
