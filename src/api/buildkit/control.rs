//! `POST /grpc`: the services of a builder on a connection that was taken over.

use std::{io, pin::Pin, sync::Arc};

use axum::{
    extract::{Request, State as With},
    response::Response,
};
use futures_util::{Stream, StreamExt, stream};
use hoist_build::{BuildResult, PruneOptions, dockerfile::describe::Description};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::server::Connected};

use super::{
    attributes::{self, Wish},
    gateway::Gateway,
    session::{self, Line},
    solves::{Solve, Solves},
    words::{
        control::{
            BuildkitVersion, BytesMessage, CacheOptionsEntry, DiskUsageRequest, DiskUsageResponse, InfoRequest,
            InfoResponse, ListWorkersRequest, ListWorkersResponse, Platform, PruneRequest, SolveRequest, SolveResponse,
            StatusRequest, StatusResponse, Timestamp, UsageRecord, WorkerRecord,
            control_server::{Control, ControlServer},
        },
        gateway::llb_bridge_server::LlbBridgeServer,
    },
    work::Work,
};
use crate::api::{
    State,
    error::ApiError,
    stream::hijack::{Hijack, Taken},
};

/// The only language that is spoken.
pub const FRONTEND: &str = "dockerfile.v0";

/// Bytes of a session inside a call that wait.
const PIPE: usize = 256 << 10;
/// Bytes of a session in one message.
const PIECE: usize = 32 << 10;

impl Connected for Line {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

/// `POST /grpc`.
///
/// # Errors
/// 400 for a request that asks for no upgrade.
pub async fn grpc(With(state): With<State>, request: Request) -> Result<Response, ApiError> {
    let hijack = Hijack::new(request);
    if !hijack.is_upgrade() {
        return Err(ApiError::bad_request(
            "BuildKit's services are an upgrade of the connection: Connection: Upgrade, Upgrade: h2c",
        ));
    }
    let (stop, tasks) = (state.stop.clone(), state.tasks.clone());
    Ok(hijack.answer("application/vnd.docker.raw-stream", &tasks, move |taken| async move {
        let gone = CancellationToken::new();
        let line = Line::new(taken, &gone);
        let lines = stream::iter([Ok::<_, io::Error>(line)]).chain(stream::pending());
        let end = async move {
            tokio::select! {
                () = gone.cancelled() => {}
                () = stop.cancelled() => {}
            }
        };
        let served = tonic::transport::Server::builder()
            .add_service(ControlServer::new(Service { state: state.clone() }))
            .add_service(LlbBridgeServer::new(Gateway { state }))
            .serve_with_incoming_shutdown(lines, end)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "a builder's connection ended");
        }
    }))
}

/// The builder, as its clients see it.
struct Service {
    state: State,
}

/// Refuses what is in a request for a build and not supported.
fn supported(request: &SolveRequest) -> Result<(), Status> {
    if request.definition.as_ref().is_some_and(|graph| !graph.def.is_empty()) {
        return Err(Status::unimplemented("builds from a client's own graph (LLB) are not supported: Dockerfiles are"));
    }
    if !request.source_policy.is_empty() {
        return Err(Status::unimplemented("source policies are not supported"));
    }
    Ok(())
}

/// What came of a frontend's work.
pub enum Made {
    Built(BuildResult),
    Described(Description),
}

/// Does what is asked in the words of a frontend, for the request that it belongs to.
///
/// # Errors
/// What is malformed or not supported, and why the build failed.
pub async fn carry_out(
    state: &State,
    solve: &Arc<Solve>,
    frontend: &str,
    attributes: impl IntoIterator<Item = (String, String)>,
    imports: Vec<CacheOptionsEntry>,
) -> Result<Made, Status> {
    if frontend != FRONTEND {
        let message =
            format!("the frontend {frontend:?} is not supported: {FRONTEND} is (without a syntax image of others)");
        return Err(Status::unimplemented(message));
    }
    let wish = wish(&solve.request, attributes, imports).map_err(Status::invalid_argument)?;
    let session = match solve.request.session.as_str() {
        "" => None,
        id => Some(state.builds.sessions.find(id).await.map_err(|error| Status::not_found(error.message))?),
    };
    let teller = Arc::clone(solve);
    let work = Work {
        state: state.clone(),
        id: solve.request.r#ref.clone(),
        session,
        tell: Arc::new(move |status| teller.tell(status)),
    };
    if wish.order.call.is_some() {
        return work.describe(wish).await.map(Made::Described).map_err(Status::unknown);
    }
    let result = work.build(wish).await.map_err(Status::unknown)?;
    solve.finish(result.clone());
    Ok(Made::Built(result))
}

fn wish(
    request: &SolveRequest,
    attributes: impl IntoIterator<Item = (String, String)>,
    imports: Vec<CacheOptionsEntry>,
) -> Result<Wish, String> {
    let mut wish = attributes::frontend(attributes)?;
    let map = |attrs: &std::collections::HashMap<String, String>| attrs.clone().into_iter().collect();
    let mut exporters: Vec<_> = request.exporters.iter().map(|one| (one.r#type.clone(), map(&one.attrs))).collect();
    if exporters.is_empty() && !request.exporter.is_empty() {
        exporters.push((request.exporter.clone(), map(&request.exporter_attrs)));
    }
    attributes::outputs(&mut wish, exporters)?;
    let cache = request.cache.clone().unwrap_or_default();
    let pair = |entry: CacheOptionsEntry| (entry.r#type, entry.attrs.into_iter().collect());
    wish.order.cache_to = attributes::caches("--cache-to", cache.exports.into_iter().map(pair))?;
    wish.order.cache_from = attributes::caches("--cache-from", cache.imports.into_iter().chain(imports).map(pair))?;
    wish.order.allow.clone_from(&request.entitlements);
    Ok(wish)
}

/// What a client is told of a finished build.
fn answer(result: &BuildResult) -> SolveResponse {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let facts = result.metadata.iter().map(|(key, value)| (key.clone(), text(value)));
    SolveResponse { exporter_response: facts.collect() }
}

/// Ends what is told of a build, however it ends.
struct Ending<'s>(&'s Solves, &'s Arc<Solve>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}

/// Who builds here.
pub fn workers(state: &State) -> Vec<WorkerRecord> {
    let local = hoist_build::dockerfile::Platform::local();
    // By the second one clients tell a builder that can do everything from one that makes Docker's images only.
    let labels = [("hostname", state.facts().host_name.clone()), ("snapshotter", "overlayfs".to_owned())];
    let labels = labels.map(|(name, value)| (format!("org.mobyproject.buildkit.worker.{name}"), value));
    vec![WorkerRecord {
        id: state.facts().id.clone(),
        labels: labels.into(),
        platforms: vec![Platform {
            architecture: local.architecture,
            os: local.os,
            variant: local.variant.unwrap_or_default(),
        }],
        buildkit_version: Some(version()),
    }]
}

fn version() -> BuildkitVersion {
    BuildkitVersion {
        package: "hoist".to_owned(),
        version: concat!("v", env!("CARGO_PKG_VERSION")).to_owned(),
        revision: String::new(),
    }
}

/// A filter of `du` and `prune`: `id==x`, `type==y`; joined by commas.
fn filters(texts: &[String], options: &mut PruneOptions) -> Result<(), Status> {
    for part in texts.iter().flat_map(|text| text.split(',')) {
        match part.split_once("==").or_else(|| part.split_once('=')) {
            Some(("id", id)) => options.ids.push(id.to_owned()),
            Some(("type", kind)) => options.kinds.push(kind.to_owned()),
            _ => return Err(Status::unimplemented(format!("the filter {part:?} is not supported: id and type are"))),
        }
    }
    Ok(())
}

type Listened<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Control for Service {
    type PruneStream = Listened<UsageRecord>;
    type StatusStream = Listened<StatusResponse>;
    type SessionStream = Listened<BytesMessage>;

    async fn solve(&self, request: tonic::Request<SolveRequest>) -> Result<tonic::Response<SolveResponse>, Status> {
        let mut request = request.into_inner();
        supported(&request)?;
        let attributes = std::mem::take(&mut request.frontend_attrs);
        let name = request.r#ref.clone();
        let again = || Status::already_exists(format!("there is a build {name:?} already"));
        let solve = self.state.builds.solves.begin(request).ok_or_else(again)?;
        let _end = Ending(&self.state.builds.solves, &solve);
        if solve.request.frontend.is_empty() {
            // The client asks for its parts by itself.
            solve.returned().await.map_err(Status::unknown)?;
            return Ok(tonic::Response::new(answer(&solve.outcome().unwrap_or_default())));
        }
        let frontend = solve.request.frontend.clone();
        match carry_out(&self.state, &solve, &frontend, attributes, Vec::new()).await? {
            Made::Built(result) => Ok(tonic::Response::new(answer(&result))),
            Made::Described(_) => {
                Err(Status::unimplemented("what is asked about a Dockerfile is answered by the gateway"))
            }
        }
    }

    async fn status(
        &self,
        request: tonic::Request<StatusRequest>,
    ) -> Result<tonic::Response<Self::StatusStream>, Status> {
        let name = request.into_inner().r#ref;
        let solve = self.state.builds.solves.find(&name).await;
        let solve = solve.ok_or_else(|| Status::not_found(format!("there is no build {name:?}")))?;
        Ok(tonic::Response::new(Box::pin(solve.listen().map(Ok))))
    }

    async fn session(
        &self,
        request: tonic::Request<tonic::Streaming<BytesMessage>>,
    ) -> Result<tonic::Response<Self::SessionStream>, Status> {
        let headers = request.metadata().clone().into_headers();
        let id = headers.get(session::ID).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        if id.is_empty() {
            return Err(Status::invalid_argument(format!("a session needs {}", session::ID)));
        }
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let (reader, writer) = tokio::io::split(ours);
        let taken = Taken { reader: Box::pin(reader), writer: Box::pin(writer) };
        let (sessions, stop) = (self.state.builds.sessions.clone(), self.state.stop.clone());
        self.state.tasks.spawn(async move { sessions.keep(&id, &headers, taken, stop).await });
        let (mut reader, mut writer) = tokio::io::split(theirs);
        let mut heard = request.into_inner();
        self.state.tasks.spawn(async move {
            while let Ok(Some(message)) = heard.message().await {
                if writer.write_all(&message.data).await.is_err() {
                    break;
                }
            }
            let _ = writer.shutdown().await;
        });
        Ok(tonic::Response::new(Box::pin(async_stream::stream! {
            let mut buffer = vec![0; PIECE];
            while let Ok(read @ 1..) = reader.read(&mut buffer).await {
                yield Ok(BytesMessage { data: buffer[..read].to_vec() });
            }
        })))
    }

    async fn list_workers(
        &self,
        _request: tonic::Request<ListWorkersRequest>,
    ) -> Result<tonic::Response<ListWorkersResponse>, Status> {
        Ok(tonic::Response::new(ListWorkersResponse { record: workers(&self.state) }))
    }

    async fn info(&self, _request: tonic::Request<InfoRequest>) -> Result<tonic::Response<InfoResponse>, Status> {
        Ok(tonic::Response::new(InfoResponse { buildkit_version: Some(version()) }))
    }

    async fn disk_usage(
        &self,
        request: tonic::Request<DiskUsageRequest>,
    ) -> Result<tonic::Response<DiskUsageResponse>, Status> {
        let mut wanted = PruneOptions::default();
        filters(&request.into_inner().filter, &mut wanted)?;
        let entries = self.state.builds.door.cache().await.map_err(|error| Status::internal(error.message()))?;
        let second = |seconds: i64| Some(Timestamp { seconds, nanos: 0 });
        let fits = |entry: &hoist_build::CacheEntry| {
            (wanted.ids.is_empty() || wanted.ids.contains(&entry.id))
                && (wanted.kinds.is_empty() || wanted.kinds.contains(&entry.kind))
        };
        let record = entries
            .into_iter()
            .filter(fits)
            .map(|entry| UsageRecord {
                id: entry.id,
                mutable: entry.kind == "exec.cachemount",
                in_use: entry.in_use,
                size: i64::try_from(entry.size).unwrap_or(i64::MAX),
                created_at: second(entry.created_at),
                last_used_at: second(entry.last_used_at),
                usage_count: i64::try_from(entry.usage_count).unwrap_or(i64::MAX),
                description: entry.description,
                record_type: entry.kind,
                shared: entry.shared,
                parents: entry.parents,
            })
            .collect();
        Ok(tonic::Response::new(DiskUsageResponse { record }))
    }

    async fn prune(&self, request: tonic::Request<PruneRequest>) -> Result<tonic::Response<Self::PruneStream>, Status> {
        let request = request.into_inner();
        let some = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
        let mut options = PruneOptions {
            all: request.all,
            keep: some(request.keep_bytes),
            max_used: some(request.max_used_space),
            min_free: some(request.min_free_space),
            // It comes in nanoseconds.
            unused_for: some(request.keep_duration).map(|age| age / 1_000_000_000),
            ..PruneOptions::default()
        };
        filters(&request.filter, &mut options)?;
        let before = self.state.builds.door.cache().await.map_err(|error| Status::internal(error.message()))?;
        let report = self.state.builds.door.prune(options).await.map_err(|error| Status::internal(error.message()))?;
        let removed: Vec<_> = before
            .into_iter()
            .filter(|entry| report.removed.contains(&entry.id))
            .map(|entry| {
                Ok(UsageRecord {
                    id: entry.id,
                    size: i64::try_from(entry.size).unwrap_or(i64::MAX),
                    description: entry.description,
                    record_type: entry.kind,
                    ..UsageRecord::default()
                })
            })
            .collect();
        Ok(tonic::Response::new(Box::pin(stream::iter(removed))))
    }
}
