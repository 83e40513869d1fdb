//! Doing what a graph says: results that are known are taken, the others are made, as many at once as there is room for.
//!
//! A step is asked for its key first: what it does and what it reads, never when. A `COPY` from a stage is keyed by
//! what it copies; which key that was last time is remembered by the stage's own key, so that a build whose results are
//! all known runs nothing and mounts nothing.

mod anew;
mod context;
mod copy;
mod downloads;
mod key;
mod mounts;
mod output;
mod repositories;
mod run;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::builder::Shared;
use crate::cache::{Lease, Record, now};
use crate::graph::{Graph, Node, NodeId, Op};
use crate::portable::Imports;
use crate::{BaseImage, BuildError, BuildEvent, BuildRequest, Draft, Events, StepId, Worker};

pub(crate) use anew::Anew;
use context::Contexts;
pub(crate) use mounts::CacheMounts;

/// Builds that are started together are so long apart at most.
const MOMENT: Duration = Duration::from_secs(1);

/// A step's part of a tree.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Link {
    pub key: String,
    /// The layer that the step made, if it changed anything.
    pub own: Option<String>,
    /// Seconds since 1970.
    pub created_at: i64,
}

/// A file tree: layers over an image's.
#[derive(Clone, Default)]
pub(crate) struct Tree {
    pub base: Option<BaseImage>,
    pub chain: Vec<Link>,
}

impl Tree {
    /// The names of its own layers, oldest first.
    pub(crate) fn layers(&self) -> Vec<String> {
        self.chain.iter().filter_map(|link| link.own.clone()).collect()
    }
}

/// One build at work.
pub(crate) struct Solve<W: Worker> {
    pub shared: Arc<Shared<W>>,
    pub graph: Graph,
    pub request: Arc<BuildRequest>,
    pub imports: Arc<Imports>,
    pub file: String,
    pub events: Events,
    pub cancel: CancellationToken,
    pub lease: Lease,
    /// The event number of the first node.
    pub first: u32,
    /// When this build began.
    since: Instant,
    contexts: Contexts,
    /// Steps that must be run even if their results are known: they were asked for, or build on what is made anew.
    fresh: Vec<bool>,
    keys: Vec<OnceCell<String>>,
    trees: Vec<OnceCell<Arc<Tree>>>,
    selected: Vec<OnceCell<Arc<copy::Chosen>>>,
    /// Keys by content, by keys by definition: those that this build met.
    aliases: Mutex<BTreeMap<String, String>>,
    told: Mutex<HashMap<NodeId, ()>>,
    failure: Mutex<Option<BuildError>>,
    pub tasks: TaskTracker,
}

impl<W: Worker> Solve<W> {
    pub(crate) fn new(
        shared: Arc<Shared<W>>,
        graph: Graph,
        (request, imports): (Arc<BuildRequest>, Arc<Imports>),
        events: Events,
        cancel: CancellationToken,
        (first, since): (u32, Instant),
    ) -> Result<Self, BuildError> {
        let count = graph.nodes.len();
        // Nodes come behind all that they need.
        let mut fresh: Vec<bool> = Vec::with_capacity(count);
        for node in &graph.nodes {
            let above = |id: &NodeId| fresh[*id];
            fresh.push(match &node.op {
                Op::Image(_) => false,
                // What it copies is in its key.
                Op::Copy(_) => node.fresh || node.parent.iter().any(above),
                _ => node.fresh || node.inputs().iter().any(above),
            });
        }
        Ok(Self {
            fresh,
            lease: shared.cache.lease(),
            contexts: Contexts::new(&request)?,
            file: request.dockerfile_name.clone(),
            keys: std::iter::repeat_with(OnceCell::new).take(count).collect(),
            trees: std::iter::repeat_with(OnceCell::new).take(count).collect(),
            selected: std::iter::repeat_with(OnceCell::new).take(count).collect(),
            aliases: Mutex::default(),
            told: Mutex::default(),
            failure: Mutex::default(),
            tasks: TaskTracker::new(),
            shared,
            graph,
            request,
            imports,
            events,
            cancel,
            first,
            since,
        })
    }

    pub(crate) fn step(&self, id: NodeId) -> StepId {
        StepId(self.first + u32::try_from(id).unwrap_or(u32::MAX))
    }

    fn tell(&self, event: BuildEvent) {
        // Nobody has to listen.
        let _ = self.events.send(event);
    }

    /// Makes a tree; whatever fails ends everything else, which is waited for.
    pub(crate) async fn finish(self: &Arc<Self>, id: NodeId) -> Result<Arc<Tree>, BuildError> {
        let canceled = self.cancel.clone();
        let result = tokio::select! {
            result = self.tree(id) => result,
            () = canceled.cancelled() => Err(BuildError::Canceled),
        };
        self.tasks.close();
        if result.is_err() {
            self.cancel.cancel();
        }
        self.tasks.wait().await;
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (result, failure) {
            (_, Some(failure)) => Err(failure),
            (result, None) => result,
        }
    }

    /// A step's tree, made once.
    pub(crate) fn tree(self: &Arc<Self>, id: NodeId) -> BoxFuture<'static, Result<Arc<Tree>, BuildError>> {
        let this = Arc::clone(self);
        async move { this.trees[id].get_or_try_init(|| this.make(id)).await.cloned() }.boxed()
    }

    /// The trees of several steps, made side by side.
    async fn trees(self: &Arc<Self>, ids: &[NodeId]) -> Result<HashMap<NodeId, Arc<Tree>>, BuildError> {
        let made = try_join_all(ids.iter().map(|id| self.tree(*id))).await?;
        Ok(ids.iter().copied().zip(made).collect())
    }

    async fn make(self: &Arc<Self>, id: NodeId) -> Result<Arc<Tree>, BuildError> {
        let node = &self.graph.nodes[id];
        if let Op::Image(image) = &node.op {
            self.tell_cached(id);
            return Ok(Arc::new(Tree { base: Some(image.clone()), chain: Vec::new() }));
        }
        let fresh = self.fresh[id];
        if !fresh
            && let Some(key) = self.key_if(id, false).await?
            && let Some(tree) = self.known(id, &key).await?
        {
            return Ok(Arc::new(tree));
        }
        // All that is needed is made side by side; what a key still depends on is among it.
        let needs = node.inputs();
        let (key, inputs) = futures_util::future::try_join(self.key(id), self.trees(&needs)).await?;
        let mine = self.shared.turn(&key);
        let (_only_here, waited) = match mine.try_lock() {
            Ok(turn) => (turn, false),
            Err(_) => tokio::select! {
                turn = mine.lock() => (turn, true),
                () = self.cancel.cancelled() => return Err(BuildError::Canceled),
            },
        };
        // What another build of the same moment did anew is new enough for this one.
        let since = if waited { self.since.checked_sub(MOMENT).unwrap_or(self.since) } else { self.since };
        if (!fresh || self.shared.anew.did_since(&key, since))
            && let Some(tree) = self.known(id, &key).await?
        {
            return Ok(Arc::new(tree));
        }
        let this = Arc::clone(self);
        // A task of its own, which goes on to its end even if nobody waits for it any more.
        let work = self.tasks.spawn(async move {
            let begun = Instant::now();
            let done = Arc::clone(&this).work(id, key.clone(), inputs).await;
            if fresh && done.is_ok() {
                this.shared.anew.did(&key, begun);
            }
            done.map_err(|error| this.fail(id, error))
        });
        match work.await {
            Ok(done) => done.map(Arc::new),
            Err(error) => Err(self.fail(id, BuildError::Engine(format!("a step ended without a result: {error}")))),
        }
    }

    /// Notes the first failure, and has everything else stop.
    fn fail(&self, id: NodeId, error: BuildError) -> BuildError {
        let error = self.at(id, error);
        if matches!(error, BuildError::Canceled) {
            self.tell(BuildEvent::Canceled { step: self.step(id) });
            return error;
        }
        self.tell(BuildEvent::Failed { step: self.step(id), message: error.message() });
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = Some(error);
        }
        self.cancel.cancel();
        BuildError::Canceled
    }

    /// An error with the step that it happened in.
    pub(crate) fn at(&self, id: NodeId, error: BuildError) -> BuildError {
        let node = &self.graph.nodes[id];
        match error {
            BuildError::Canceled
            | BuildError::Dockerfile(_)
            | BuildError::Command { .. }
            | BuildError::Step { .. }
            | BuildError::Cache { .. } => error,
            other => BuildError::Step {
                file: self.file.clone(),
                line: node.span.start.line,
                span: node.span,
                instruction: node.instruction.clone(),
                message: other.message(),
            },
        }
    }

    /// The tree that a cache has under a key: the own one, or one elsewhere.
    async fn known(self: &Arc<Self>, id: NodeId, key: &str) -> Result<Option<Tree>, BuildError> {
        let chain = match self.shared.cache.find(key, &self.lease)? {
            Some(record) => record.chain,
            None if self.imports.has(key) => match self.import(id, key).await {
                Ok(Some(chain)) => chain,
                Ok(None) => return Ok(None),
                Err(BuildError::Canceled) => return Err(BuildError::Canceled),
                // What cannot be fetched can be made.
                Err(error) => {
                    let message = format!("a cached step could not be fetched: {}", error.message());
                    self.tell(BuildEvent::Warning { message, span: Some(self.graph.nodes[id].span) });
                    return Ok(None);
                }
            },
            None => return Ok(None),
        };
        self.tell_cached(id);
        Ok(Some(Tree { base: self.base(id), chain }))
    }

    /// Notes what a key by definition led to.
    fn met(&self, definition: &str, key: &str) {
        let mut aliases = self.aliases.lock().unwrap_or_else(PoisonError::into_inner);
        aliases.insert(definition.to_owned(), key.to_owned());
    }

    /// Keys by content, by keys by definition.
    pub(crate) fn aliases(&self) -> BTreeMap<String, String> {
        self.aliases.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says of a step and all that it was made of that they were known.
    fn tell_cached(&self, id: NodeId) {
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let new = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(id, ()).is_none();
            if new {
                self.tell(BuildEvent::Cached { step: self.step(id) });
                todo.extend(self.graph.nodes[id].inputs());
            }
        }
    }

    /// The image under a step's tree.
    pub(crate) fn base(&self, id: NodeId) -> Option<BaseImage> {
        let mut at = Some(id);
        while let Some(id) = at {
            let node = &self.graph.nodes[id];
            if let Op::Image(image) = &node.op {
                return Some(image.clone());
            }
            at = node.parent;
        }
        None
    }

    /// The directories of a tree, top first.
    pub(crate) fn dirs(&self, tree: &Tree) -> Vec<PathBuf> {
        let own = tree.layers();
        let own = own.iter().rev().map(|layer| self.shared.worker.layer_path(layer));
        own.chain(tree.base.iter().flat_map(|base| base.dirs.iter().cloned())).collect()
    }

    /// Makes a step's tree.
    async fn work(
        self: Arc<Self>,
        id: NodeId,
        key: String,
        inputs: HashMap<NodeId, Arc<Tree>>,
    ) -> Result<Tree, BuildError> {
        let node = &self.graph.nodes[id];
        let parent = node.parent.and_then(|parent| inputs.get(&parent).cloned()).unwrap_or_default();
        // Locks of cache mounts are taken before the place among the working ones, or those that hold it could wait for
        // those that do not.
        let mounts = self.lock_mounts(node).await?;
        let _place = tokio::select! {
            place = self.shared.places.acquire() => place.map_err(|error| BuildError::Engine(error.to_string()))?,
            () = self.cancel.cancelled() => return Err(BuildError::Canceled),
        };
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(id, ());
        self.tell(BuildEvent::Started { step: self.step(id) });
        let begun = Instant::now();
        let draft = match &node.op {
            Op::Image(_) => None,
            Op::Run(run) => self.run(id, run, &parent, &inputs, mounts).await?,
            Op::Copy(copy) => self.copy(id, copy, &parent, &inputs).await?,
            Op::Workdir(path) => self.workdir(path, &parent).await?,
        };
        let (own, size) = match draft {
            Some(draft) => self.keep(draft).await?,
            None => (None, 0),
        };
        let tree = self.record(id, key, &parent, own, size, begun).await?;
        self.tell(BuildEvent::Done { step: self.step(id) });
        Ok(tree)
    }

    /// A layer that holds something is kept; returns its name and its bytes.
    async fn keep(&self, draft: W::Draft) -> Result<(Option<String>, u64), BuildError> {
        let (path, latest) = (draft.path(), self.request.source_date_epoch);
        let size = blocking(move || output::settle(&path, latest)).await?;
        let Some(size) = size else { return Ok((None, 0)) };
        let name = draft.name().to_owned();
        self.lease.add(std::slice::from_ref(&name));
        self.shared.worker.keep(draft).await?;
        Ok((Some(name), size))
    }

    async fn record(
        &self,
        id: NodeId,
        key: String,
        parent: &Tree,
        own: Option<String>,
        size: u64,
        begun: Instant,
    ) -> Result<Tree, BuildError> {
        let node = &self.graph.nodes[id];
        let created_at = self.request.source_date_epoch.unwrap_or_else(now);
        let mut chain = parent.chain.clone();
        chain.push(Link { key: key.clone(), own: own.clone(), created_at });
        let record = Record {
            layers: chain.iter().filter_map(|link| link.own.clone()).collect(),
            chain: chain.clone(),
            own,
            parents: parent.chain.last().map(|link| link.key.clone()).into_iter().collect(),
            kind: "regular".into(),
            description: node.name.clone(),
            size,
            created_at: now(),
            last_used_at: now(),
            uses: 0,
            took: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.cache.put(&key, &record)).await?;
        Ok(Tree { base: parent.base.clone(), chain })
    }

    /// The keys of all steps that were asked for theirs.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.keys.iter().filter_map(|key| key.get().cloned()).collect()
    }

    /// The keys that are known, by step.
    pub(crate) fn keys_of_nodes(&self) -> HashMap<NodeId, String> {
        self.keys.iter().enumerate().filter_map(|(id, key)| Some((id, key.get()?.clone()))).collect()
    }

    /// What came over the network besides images: addresses and digests.
    pub(crate) fn remote_materials(&self) -> Vec<(String, String)> {
        let chosen = self.selected.iter().filter_map(OnceCell::get);
        chosen
            .flat_map(|chosen| {
                let files = chosen.downloads.iter().map(|file| (file.url.clone(), format!("sha256:{}", file.digest)));
                files.chain(chosen.repositories.iter().map(repositories::Repository::material)).collect::<Vec<_>>()
            })
            .collect()
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.graph.nodes[id]
    }
}

/// Runs something that blocks on a thread for such things.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
) -> Result<T, BuildError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(BuildError::Engine(format!("a worker thread ended: {error}"))),
        },
    }
}
