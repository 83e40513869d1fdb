//! `POST /build` as Docker's classic builder answers it, and `POST /build/prune`.

mod classic;
pub mod params;

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State as With,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hoist_build::{
    BuildError, PruneOptions,
    dockerfile::{self, GlobalScope, Plan, Platform, ignore_file_names},
};
use serde_json::{Value, json};

use self::classic::Classic;
use super::images::reader;
use crate::api::{
    State,
    build::{self, ReadyContext, Run, Waiting},
    buildkit,
    error::ApiError,
    params::Params,
    stream::alive::kept_alive,
};

/// `POST /build`.
///
/// # Errors
/// 400 for parameters that are not supported and for a Dockerfile that cannot be read; what fails later is told in
/// the stream.
pub async fn build(
    With(state): With<State>,
    headers: HeaderMap,
    query: Params,
    body: Body,
) -> Result<Response, ApiError> {
    if query.text("version") == Some("2") {
        return buildkit::build(state, &headers, &query, body).await;
    }
    let mut order = params::order(&query, &headers)?;
    let mut name = query.text("dockerfile").unwrap_or("Dockerfile").to_owned();
    let dir = match query.text("remote").filter(|remote| *remote != "client-session") {
        Some(url) => {
            let keep = order.args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR").is_some_and(|value| value == "1");
            build::fetch_context(&state, url, keep).await?
        }
        None => build::unpack_context(&state.builds, reader(body)).await?,
    };
    let context = Arc::new(ReadyContext::Unpacked(dir));
    // Some clients give the path on their disk when the file is the default.
    if name.starts_with('/') {
        name = "Dockerfile".to_owned();
    }
    order.dockerfile = build::read_in(context.path(), &name)?;
    order.dockerfile_name = name.rsplit('/').next().unwrap_or("Dockerfile").to_owned();
    let ignore = ignore_file_names(&name).into_iter().find_map(|file| build::read_in(context.path(), &file).ok());
    let wrong = |error: dockerfile::Error| ApiError::bad_request(format!("dockerfile parse error: {error}"));
    let file = dockerfile::parse(&order.dockerfile_name, order.dockerfile.as_bytes()).map_err(wrong)?;
    let local = Platform::local();
    let global = GlobalScope::new(&file, &order.args, &local, &local).map_err(wrong)?;
    let plan = Plan::new(&file, &global, [], order.target.as_deref()).map_err(wrong)?;
    let mut classic = Classic::new(&file, &plan, query.flag("q"));
    let id = state.builds.wait(Waiting::Ready(context));
    order.context = Some(id.clone());
    let ordered = build::request(&state.builds, order);
    // Held by the order from here on.
    drop(state.builds.take(&id));
    let mut ordered = ordered?;
    if let (Some(context), Some(text)) = (&mut ordered.request.context, ignore) {
        context.ignore = text.lines().map(str::to_owned).collect();
    }
    let tags = ordered.request.tags.clone();
    let mut run = Run::start(&state, &state.builds, ordered);
    let lines = async_stream::stream! {
        while let Some(event) = run.next().await {
            let lines = classic.event(event);
            if !lines.is_empty() {
                yield Ok::<_, std::io::Error>(encode(&lines));
            }
        }
        let last = match run.finish().await {
            Ok(result) => classic.succeeded(&result.image.unwrap_or_default(), &tags),
            Err(error) => classic.failed(&error),
        };
        yield Ok(encode(&last));
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(kept_alive(lines))).into_response())
}

fn encode(lines: &[Value]) -> Bytes {
    let mut out = Vec::new();
    for line in lines {
        out.extend_from_slice(line.to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.into()
}

/// `POST /build/prune`.
///
/// # Errors
/// 400 for a filter that does not exist.
pub async fn prune(With(state): With<State>, query: Params) -> Result<Json<Value>, ApiError> {
    let filters = query.filters()?.only(&["until", "unused-for", "id", "type", "label", "label!"])?;
    // "docker system prune" asks for all kinds of things with one filter: what a build keeps has no label.
    if !filters.get("label").is_empty() {
        return Ok(Json(json!({ "CachesDeleted": null, "SpaceReclaimed": 0 })));
    }
    let now = state.now();
    let bytes = |name: &str| Ok::<_, ApiError>(query.number(name)?.filter(|bytes: &u64| *bytes > 0));
    let age = |name: &str| -> Result<Option<u64>, ApiError> {
        let Some(text) = filters.get(name).first() else { return Ok(None) };
        let moment = crate::api::params::moment(text, name, now)?;
        Ok(Some(u64::try_from(now.as_second() - moment.as_second()).unwrap_or(0)))
    };
    let options = PruneOptions {
        all: query.flag("all"),
        keep: bytes("reserved-space")?.or(bytes("keep-storage")?),
        max_used: bytes("max-used-space")?,
        min_free: bytes("min-free-space")?,
        unused_for: age("until")?.or(age("unused-for")?),
        ids: filters.get("id").to_vec(),
        kinds: filters.get("type").to_vec(),
    };
    let contexts = options == PruneOptions { all: true, ..PruneOptions::default() };
    let report = state.builds.door.prune(options).await?;
    let builds = state.builds.clone();
    let freed = match contexts {
        true => tokio::task::spawn_blocking(move || builds.contexts.prune())
            .await
            .map_err(|error| ApiError::internal(error.to_string()))??,
        false => 0,
    };
    let removed = Some(report.removed).filter(|removed| !removed.is_empty());
    Ok(Json(json!({ "CachesDeleted": removed, "SpaceReclaimed": report.reclaimed + freed })))
}

/// `POST /build/cancel`: builds end with their connection.
pub async fn cancel() -> ApiError {
    ApiError::not_found("there is no such build: a build ends when its connection is closed")
}

/// What Docker says when a command fails, with the command as it ran.
fn words(error: &BuildError) -> (Option<i32>, String) {
    match error {
        BuildError::Command { instruction, exit_code, .. } => {
            let command = instruction.split_once(char::is_whitespace).map_or("", |(_, command)| command.trim());
            let command = if command.starts_with('[') { command.to_owned() } else { format!("/bin/sh -c {command}") };
            (Some(*exit_code), format!("The command '{command}' returned a non-zero code: {exit_code}"))
        }
        other => (None, other.message()),
    }
}
