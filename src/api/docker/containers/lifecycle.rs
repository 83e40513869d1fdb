//! Started, stopped, signalled, paused, renamed, removed, pruned.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State as With},
    http::StatusCode,
};
use hoist_engine::{EngineError, PruneOptions, RemoveOptions, StopOptions, TerminalSize, Timeout};

use crate::api::{State, dto::container::ContainersPruned, error::ApiError, params::Params, version::ApiVersion};

type Answer = Result<StatusCode, ApiError>;

pub async fn start(With(state): With<State>, Path(id): Path<String>, params: Params) -> Answer {
    super::attach::detach_keys(&params)?;
    let dir = params.text("checkpoint-dir");
    if let Some(checkpoint) = params.text("checkpoint") {
        state.engine.restore(&id, checkpoint, dir.map(AsRef::as_ref)).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    if dir.is_some() {
        return Err(ApiError::bad_request("checkpoint-dir is given without checkpoint"));
    }
    if let Err(err) = state.engine.start(&id).await {
        // What was to go when it ends goes when it cannot begin, and who waits for that is told.
        let cannot_run = matches!(err, EngineError::Start { .. });
        if cannot_run && state.engine.inspect(&id).await.is_ok_and(|container| container.spec.auto_remove) {
            let _ = state.engine.remove(&id, RemoveOptions { force: true, volumes: true }).await;
        }
        return Err(err.into());
    }
    Ok(StatusCode::NO_CONTENT)
}

pub async fn stop(With(state): With<State>, Path(id): Path<String>, version: ApiVersion, params: Params) -> Answer {
    state.engine.stop(&id, stop_options(version, &params)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn restart(With(state): With<State>, Path(id): Path<String>, version: ApiVersion, params: Params) -> Answer {
    state.engine.restart(&id, stop_options(version, &params)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `t` in seconds, -1 waits without end; `signal` from version 1.42 on.
fn stop_options(version: ApiVersion, params: &Params) -> Result<StopOptions, ApiError> {
    let timeout = params.number::<i64>("t")?.map(|seconds| match u64::try_from(seconds) {
        Ok(seconds) => Timeout::After(Duration::from_secs(seconds)),
        Err(_) => Timeout::Never,
    });
    let signal = params.text("signal").filter(|_| version >= ApiVersion(1, 42)).map(str::to_owned);
    Ok(StopOptions { signal, timeout })
}

pub async fn kill(With(state): With<State>, Path(id): Path<String>, params: Params) -> Answer {
    state.engine.kill(&id, params.text("signal")).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn pause(With(state): With<State>, Path(id): Path<String>) -> Answer {
    state.engine.pause(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn unpause(With(state): With<State>, Path(id): Path<String>) -> Answer {
    state.engine.unpause(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn rename(With(state): With<State>, Path(id): Path<String>, params: Params) -> Answer {
    let name = params.text("name").ok_or_else(|| ApiError::bad_request("name must be given"))?;
    state.engine.rename(&id, name.strip_prefix('/').unwrap_or(name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn remove(With(state): With<State>, Path(id): Path<String>, params: Params) -> Answer {
    if params.flag("link") {
        return Err(ApiError::bad_request("link is not supported: links are a part of the container that has them"));
    }
    let options = RemoveOptions { force: params.flag("force"), volumes: params.flag("v") };
    state.engine.remove(&id, options).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn resize(With(state): With<State>, Path(id): Path<String>, params: Params) -> Answer {
    state.engine.resize(&id, terminal_size(&params)?).await?;
    Ok(StatusCode::OK)
}

/// `h` and `w`.
pub fn terminal_size(params: &Params) -> Result<TerminalSize, ApiError> {
    let number =
        |name: &str| params.number::<u16>(name)?.ok_or_else(|| ApiError::bad_request(format!("{name} must be given")));
    Ok(TerminalSize { rows: number("h")?, columns: number("w")? })
}

pub async fn prune(With(state): With<State>, params: Params) -> Result<Json<ContainersPruned>, ApiError> {
    let filters = params.filters()?.only(&["label", "label!", "until"])?;
    let options = PruneOptions {
        until: filters.until(state.now())?,
        labels: filters.get("label").to_vec(),
        without_labels: filters.get("label!").to_vec(),
    };
    let report = state.engine.prune(options).await?;
    let removed: Vec<String> = report.removed.iter().map(ToString::to_string).collect();
    Ok(Json(ContainersPruned {
        containers_deleted: (!removed.is_empty()).then_some(removed),
        space_reclaimed: report.reclaimed,
    }))
}
