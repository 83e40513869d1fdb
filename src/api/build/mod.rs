//! Builds as both APIs offer them: the builder behind a door, contexts on their way, results that wait to be fetched.

mod fetch;
mod order;
mod run;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hoist_build::{
    BuildError, BuildRequest, BuildResult, CacheEntry, Events, PruneOptions, PruneReport,
    context::{ContextError, ContextStore, Incoming, Lease},
};
use hoist_engine::{Engine, EngineError};
use tokio_util::sync::CancellationToken;

pub use fetch::{fetch_context, read_in, unpack_context};
pub use order::{plan, plans, request};
pub use run::{Run, failure};

use super::{
    buildkit::{Sessions, Solves},
    error::ApiError,
};

type Answer<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, BuildError>> + Send + 'a>>;

/// Who builds: the engine, or in tests something simpler.
pub trait Door: Send + Sync + 'static {
    fn build(&self, request: BuildRequest, events: Events, cancel: CancellationToken) -> Answer<'_, BuildResult>;
    fn cache(&self) -> Answer<'_, Vec<CacheEntry>>;
    fn prune(&self, options: PruneOptions) -> Answer<'_, PruneReport>;
}

impl Door for Engine {
    fn build(&self, request: BuildRequest, events: Events, cancel: CancellationToken) -> Answer<'_, BuildResult> {
        Box::pin(async { Engine::build(self, request, events, cancel).await.map_err(build_error) })
    }

    fn cache(&self) -> Answer<'_, Vec<CacheEntry>> {
        Box::pin(async { self.build_cache().await.map_err(build_error) })
    }

    fn prune(&self, options: PruneOptions) -> Answer<'_, PruneReport> {
        Box::pin(async { self.prune_build_cache(options).await.map_err(build_error) })
    }
}

fn build_error(error: EngineError) -> BuildError {
    match error {
        EngineError::Build(error) => error,
        other => BuildError::Engine(other.message()),
    }
}

/// What handlers of builds have at hand; a clone is the same.
#[derive(Clone)]
pub struct Builds {
    pub door: Arc<dyn Door>,
    pub contexts: ContextStore,
    /// Scratch directories of builds: uploads and results.
    scratch: Arc<PathBuf>,
    waiting: Arc<Mutex<HashMap<String, (Instant, Waiting)>>>,
    /// Clients that speak BuildKit's protocol, and what they have under way.
    pub sessions: Sessions,
    pub solves: Solves,
}

/// Something that a client will come back for.
pub enum Waiting {
    /// A context that lacks files.
    Incoming(Incoming),
    /// A context that is complete.
    Ready(Arc<ReadyContext>),
    /// Results, in the order of the outputs.
    Results(Vec<Option<PathBuf>>, Arc<tempfile::TempDir>),
}

/// A directory to build from; it stays while this lives.
pub enum ReadyContext {
    Leased(Lease),
    Unpacked(tempfile::TempDir),
}

impl ReadyContext {
    pub fn path(&self) -> &Path {
        match self {
            Self::Leased(lease) => lease.path(),
            Self::Unpacked(dir) => dir.path(),
        }
    }
}

/// What a client does not come back for within this time is dropped.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

impl Builds {
    /// `root` is the daemon's directory for builds; scratch of an earlier daemon is removed.
    ///
    /// # Errors
    /// A directory that cannot be used.
    pub fn open(root: &Path, door: Arc<dyn Door>) -> Result<Self, ContextError> {
        let contexts = ContextStore::open(&root.join("contexts"))?;
        let scratch = root.join("scratch");
        let remade = match std::fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => std::fs::create_dir_all(&scratch),
        };
        remade.map_err(|source| ContextError::Io { action: "empty", path: scratch.clone(), source })?;
        Ok(Self {
            door,
            contexts,
            scratch: Arc::new(scratch),
            waiting: Arc::default(),
            sessions: Sessions::default(),
            solves: Solves::default(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, (Instant, Waiting)>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, (since, _)| since.elapsed() < PATIENCE);
        waiting
    }

    /// Keeps something under a new id.
    pub fn wait(&self, what: Waiting) -> String {
        let id = hoist_proto::id::ContainerId::random().to_string();
        self.waiting().insert(id.clone(), (Instant::now(), what));
        id
    }

    /// Puts something back, or in another's place.
    pub fn put(&self, id: &str, what: Waiting) {
        self.waiting().insert(id.to_owned(), (Instant::now(), what));
    }

    /// Takes what waits under an id.
    ///
    /// # Errors
    /// 404 for an id that nothing waits under.
    pub fn take(&self, id: &str) -> Result<Waiting, ApiError> {
        let found = self.waiting().remove(id).map(|(_, what)| what);
        found.ok_or_else(|| ApiError::not_found(format!("nothing of a build waits under {id}")))
    }

    /// A context that was sent; it can be used again until it is dropped.
    ///
    /// # Errors
    /// 404 for an unknown one, 409 for one that still lacks files.
    pub fn context(&self, id: &str) -> Result<Arc<ReadyContext>, ApiError> {
        match self.waiting().get(id) {
            Some((_, Waiting::Ready(context))) => Ok(Arc::clone(context)),
            Some((_, Waiting::Incoming(_))) => Err(ApiError::conflict(format!("the context {id} still lacks files"))),
            _ => Err(ApiError::not_found(format!("there is no context {id}; it may have been dropped: send it again"))),
        }
    }

    /// A directory for one build, removed with the value.
    ///
    /// # Errors
    /// A full disk.
    pub fn scratch(&self) -> Result<tempfile::TempDir, ApiError> {
        tempfile::tempdir_in(self.scratch.as_path()).map_err(|error| {
            ApiError::internal(format!("cannot make a directory in {}: {error}", self.scratch.display()))
        })
    }
}

impl From<ContextError> for ApiError {
    fn from(error: ContextError) -> Self {
        let status = match &error {
            ContextError::Manifest(_)
            | ContextError::Stream(_)
            | ContextError::Cut(_)
            | ContextError::Changed { .. }
            | ContextError::Kind { .. } => axum::http::StatusCode::BAD_REQUEST,
            _ => axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::from_error(status, &error)
    }
}

impl From<BuildError> for ApiError {
    fn from(error: BuildError) -> Self {
        let message = error.message();
        match error {
            BuildError::Dockerfile(_) | BuildError::Request(_) => Self::bad_request(message),
            BuildError::NotFound(_) => Self::not_found(message),
            _ => Self::internal(message),
        }
    }
}
