//! `/hoist/v1/build`: contexts as what changed, builds as lines, results as files.

use std::{os::fd::AsFd, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Path, State as With},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hoist_build::{
    CacheEntry, PruneOptions,
    context::Manifest,
    dockerfile::{
        self, IgnoreFile, check,
        describe::{Description, Question, describe},
    },
};
use hoist_image::archive::{ArchiveOptions, archive as pack};
use serde::{Deserialize, Serialize};
use tokio_util::io::SyncIoBridge;

use crate::api::{
    State,
    build::{self, ReadyContext, Run, Waiting},
    docker::images::{archive, reader},
    dto::build::{BuildFailure, BuildLine, BuildOrder, ContextAnswer},
    error::ApiError,
    params::Params,
    stream::alive::kept_alive,
};

/// What is said where warnings fail a build.
pub const NOT_ALLOWED: &str = "the build checks found what the Dockerfile's check directive does not allow";

/// A list of files: a context of a million of them takes this.
const LIMIT: usize = 256 << 20;

/// `POST /hoist/v1/build/contexts?key=…`: what a client's directory holds.
pub async fn begin(With(state): With<State>, params: Params, body: Body) -> Result<Json<ContextAnswer>, ApiError> {
    let key = params.text("key").ok_or_else(|| ApiError::bad_request("key must be given"))?.to_owned();
    let bytes = axum::body::to_bytes(body, LIMIT)
        .await
        .map_err(|error| ApiError::bad_request(format!("the list of files could not be read: {error}")))?;
    let builds = state.builds.clone();
    blocking(move || {
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::bad_request(format!("the list of files is not valid: {error}")))?;
        let incoming = builds.contexts.begin(&key, manifest)?;
        let missing = incoming.missing();
        let id = if missing.is_empty() {
            // Only the mark of the end comes.
            let lease = incoming.receive(&mut u32::MAX.to_be_bytes().as_slice())?;
            builds.wait(Waiting::Ready(Arc::new(ReadyContext::Leased(lease))))
        } else {
            builds.wait(Waiting::Incoming(incoming))
        };
        Ok(Json(ContextAnswer { id, missing }))
    })
    .await
}

/// `PUT /hoist/v1/build/contexts/{id}`: the files that were missing.
pub async fn files(With(state): With<State>, Path(id): Path<String>, body: Body) -> Result<StatusCode, ApiError> {
    let incoming = match state.builds.take(&id)? {
        Waiting::Incoming(incoming) => incoming,
        other => {
            state.builds.put(&id, other);
            return Err(ApiError::conflict(format!("the context {id} lacks nothing")));
        }
    };
    let mut bridge = SyncIoBridge::new(reader(body));
    let builds = state.builds.clone();
    blocking(move || {
        let lease = incoming.receive(&mut std::io::BufReader::with_capacity(64 << 10, &mut bridge))?;
        builds.put(&id, Waiting::Ready(Arc::new(ReadyContext::Leased(lease))));
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// `POST /hoist/v1/build/contexts/tar`: a context as an archive, compressed or not.
pub async fn tar(With(state): With<State>, body: Body) -> Result<Json<ContextAnswer>, ApiError> {
    let dir = build::unpack_context(&state.builds, reader(body)).await?;
    let id = state.builds.wait(Waiting::Ready(Arc::new(ReadyContext::Unpacked(dir))));
    Ok(Json(ContextAnswer { id, missing: Vec::new() }))
}

/// `POST /hoist/v1/build/contexts/remote?url=…`: a context that the daemon fetches.
pub async fn remote(With(state): With<State>, params: Params) -> Result<Json<ContextAnswer>, ApiError> {
    let url = params.text("url").ok_or_else(|| ApiError::bad_request("url must be given"))?;
    let dir = build::fetch_context(&state, url, params.flag("keep-git-dir")).await?;
    let id = state.builds.wait(Waiting::Ready(Arc::new(ReadyContext::Unpacked(dir))));
    Ok(Json(ContextAnswer { id, missing: Vec::new() }))
}

/// `GET /hoist/v1/build/contexts/{id}/file?path=…`: the Dockerfile of a context that the client has not.
pub async fn file(With(state): With<State>, Path(id): Path<String>, params: Params) -> Result<String, ApiError> {
    let context = state.builds.context(&id)?;
    let path = params.text("path").unwrap_or("Dockerfile").to_owned();
    blocking(move || build::read_in(context.path(), &path)).await
}

/// `DELETE /hoist/v1/build/contexts/{id}`: the client is done with it.
pub async fn forget(With(state): With<State>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    drop(state.builds.take(&id)?);
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /hoist/v1/build`.
pub async fn build(With(state): With<State>, body: Body) -> Result<Response, ApiError> {
    let bytes = axum::body::to_bytes(body, 64 << 20)
        .await
        .map_err(|error| ApiError::bad_request(format!("the order could not be read: {error}")))?;
    let order: BuildOrder = serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::bad_request(format!("the order is not valid: {error}")))?;
    let lines = async_stream::stream! {
        match checks(&state, &order).await {
            Err(failure) => yield line(&BuildLine::Error(failure)),
            Ok((warnings, _)) if order.call.is_some() => match called(&order, &warnings) {
                Ok(description) => yield line(&BuildLine::Called(description)),
                Err(failure) => yield line(&BuildLine::Error(failure)),
            },
            Ok((warnings, fail)) => {
                let refuse = fail && !warnings.is_empty();
                if order.check || !warnings.is_empty() {
                    yield line(&BuildLine::Checks { warnings, fail });
                }
                if refuse && !order.check {
                    let message = NOT_ALLOWED.to_owned();
                    yield line(&BuildLine::Error(BuildFailure { message, ..BuildFailure::default() }));
                } else if !order.check {
                    for await piece in carry_out(state, order) {
                        yield piece;
                    }
                }
            }
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(kept_alive(lines))).into_response())
}

fn line(line: &BuildLine) -> std::io::Result<Bytes> {
    let mut bytes = serde_json::to_vec(line).map_err(std::io::Error::other)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

fn carry_out(state: State, order: BuildOrder) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    async_stream::stream! {
        let ordered = match build::request(&state.builds, order) {
            Ok(ordered) => ordered,
            Err(error) => {
                yield line(&BuildLine::Error(BuildFailure { message: error.message, ..BuildFailure::default() }));
                return;
            }
        };
        let (results, scratch) = (ordered.results.clone(), Arc::clone(&ordered.scratch));
        let mut run = Run::start(&state, &state.builds, ordered);
        while let Some(event) = run.next().await {
            yield line(&BuildLine::Event(event));
        }
        match run.finish().await {
            Ok(result) => {
                if results.iter().any(Option::is_some) {
                    yield line(&BuildLine::Id(state.builds.wait(Waiting::Results(results, scratch))));
                }
                yield line(&BuildLine::Result(Box::new(result)));
            }
            Err(error) => yield line(&BuildLine::Error(build::failure(&error))),
        }
    }
}

/// What the checks find; the file's own mistakes end the build before anything is run.
pub async fn checks(state: &State, order: &BuildOrder) -> Result<(Vec<check::Warning>, bool), BuildFailure> {
    let (file, global, plan) = build::plan(order).map_err(mistake)?;
    let ignore = IgnoreFile::parse(".dockerignore", &order.ignore).map_err(mistake)?;
    let mut known = std::collections::BTreeMap::new();
    for stage in &plan.stages {
        if let dockerfile::Origin::Image { reference, .. } = &stage.base
            && let Ok(image) = state.engine.images().get(reference).await
        {
            known.insert(reference.clone(), image.config.config.env.clone());
        }
    }
    let image_env = |reference: &str| known.get(reference).cloned();
    let context = check::CheckContext { ignore: Some(&ignore), image_env: Some(&image_env) };
    Ok((check::check(&file, &global, &plan, &context), check::fails(&file)))
}

/// What is asked about a Dockerfile, answered.
pub fn called(order: &BuildOrder, warnings: &[check::Warning]) -> Result<Description, BuildFailure> {
    let (file, global, plan) = build::plan(order).map_err(mistake)?;
    let question = order.call.unwrap_or(Question::Lint);
    describe(question, (&file, &order.dockerfile), &global, &plan, warnings).map_err(mistake)
}

fn mistake(error: dockerfile::Error) -> BuildFailure {
    BuildFailure { message: error.to_string(), span: Some(error.span), ..BuildFailure::default() }
}

/// `GET /hoist/v1/build/{id}/outputs/{index}`: what a build wrote; a directory comes as an archive.
pub async fn output(With(state): With<State>, Path((id, index)): Path<(String, usize)>) -> Result<Response, ApiError> {
    let (results, scratch) = match state.builds.take(&id)? {
        Waiting::Results(results, scratch) => (results, scratch),
        other => {
            state.builds.put(&id, other);
            return Err(ApiError::not_found(format!("{id} is no build")));
        }
    };
    let path = results.get(index).cloned().flatten();
    state.builds.put(&id, Waiting::Results(results, Arc::clone(&scratch)));
    let path = path.ok_or_else(|| ApiError::not_found(format!("output {index} of the build has no file")))?;
    let meta = fs_err::tokio::metadata(&path).await.map_err(|error| ApiError::internal(error.to_string()))?;
    if meta.is_dir() {
        let (writer, ours) = tokio::io::duplex(256 << 10);
        let work = tokio::task::spawn_blocking(move || {
            let _kept = scratch;
            let root = std::fs::File::open(&path)?;
            let options = ArchiveOptions { name: b"output".to_vec(), whiteouts: false, follow: false };
            let mut bridge = pack(root.as_fd(), std::path::Path::new(""), &options, SyncIoBridge::new(writer))
                .map_err(std::io::Error::other)?;
            bridge.shutdown()
        });
        let work = async move { work.await.map_err(std::io::Error::other)? };
        return Ok(archive::tar(archive::while_sending(ours, work)));
    }
    let file = fs_err::tokio::File::open(&path).await.map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(archive::tar(archive::while_sending(file, async move {
        drop(scratch);
        Ok(())
    })))
}

/// `DELETE /hoist/v1/build/{id}`: the client has fetched what it wants.
pub async fn drop_results(With(state): With<State>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    forget(With(state), Path(id)).await
}

/// `GET /hoist/v1/build/cache`.
pub async fn cache(With(state): With<State>) -> Result<Json<Vec<CacheEntry>>, ApiError> {
    Ok(Json(state.builds.door.cache().await?))
}

/// The body of `POST /hoist/v1/build/prune`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PruneOrder {
    all: bool,
    keep: Option<u64>,
    max_used: Option<u64>,
    min_free: Option<u64>,
    unused_for: Option<u64>,
    ids: Vec<String>,
    kinds: Vec<String>,
}

/// What a prune did.
#[derive(Debug, Serialize)]
pub struct PruneAnswer {
    removed: Vec<String>,
    reclaimed: u64,
}

/// `POST /hoist/v1/build/prune`.
pub async fn prune(
    With(state): With<State>,
    crate::api::body::OptionalBody(order): crate::api::body::OptionalBody<PruneOrder>,
) -> Result<Json<PruneAnswer>, ApiError> {
    let PruneOrder { all, keep, max_used, min_free, unused_for, ids, kinds } = order;
    let options = PruneOptions { all, keep, max_used, min_free, unused_for, ids, kinds };
    let contexts = options == PruneOptions { all: true, ..PruneOptions::default() };
    let report = state.builds.door.prune(options).await?;
    let builds = state.builds.clone();
    let freed = if contexts { blocking(move || Ok(builds.contexts.prune()?)).await? } else { 0 };
    Ok(Json(PruneAnswer { removed: report.removed, reclaimed: report.reclaimed + freed }))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ApiError::internal(format!("the work stopped: {error}"))))
}
