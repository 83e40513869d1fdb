//! The door: a request goes through parsing, planning, lowering, solving and exporting, in this order.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::bases::Resolver;
use crate::cache::{Cache, now};
use crate::dockerfile::{self, GlobalScope, Plan, Platform};
use crate::export::{self, Part};
use crate::graph::{self, Graph, lower};
use crate::portable::{self, Imports};
use crate::solve::{Anew, CacheMounts, Solve, blocking};
use crate::{
    BuildError, BuildEvent, BuildRequest, BuildResult, CacheEntry, Events, Output, PruneOptions, PruneReport, StepId,
    StepInfo, Worker,
};

/// How a builder is set up.
#[derive(Debug, Clone)]
pub struct BuilderOptions {
    /// Holds the cache's records, cache mounts and downloads.
    pub root: PathBuf,
    /// Bytes of cache that are kept after a build.
    pub cache_limit: u64,
    /// Steps that work at once, in all builds together; 0 means one for each processor.
    pub parallel: usize,
}

/// Builds images with an engine's help. A clone is the same builder; builds may run side by side.
pub struct Builder<W: Worker> {
    shared: Arc<Shared<W>>,
}

/// What all builds have in common.
pub(crate) struct Shared<W> {
    pub options: BuilderOptions,
    pub worker: W,
    pub cache: Cache,
    pub mounts: CacheMounts,
    /// Places for steps that work.
    pub places: Semaphore,
    /// Steps that somebody works at, by key.
    turns: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    pub anew: Anew,
    collecting: tokio::sync::Mutex<()>,
}

impl<W> Shared<W> {
    /// Who holds this lock makes the step of that key; others wait, and find it made.
    pub(crate) fn turn(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(key.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

impl<W: Worker> Clone for Builder<W> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<W: Worker> Builder<W> {
    /// Opens the cache, and forgets what an interrupted build left half made.
    ///
    /// # Errors
    /// When the cache's directory cannot be used.
    pub async fn open(options: BuilderOptions, worker: W) -> Result<Self, BuildError> {
        let root = options.root.clone();
        let cache = blocking(move || {
            let tmp = root.join("tmp");
            if tmp.exists() {
                fs_err::remove_dir_all(&tmp).map_err(|error| BuildError::io("remove", &tmp, error))?;
            }
            for dir in [&tmp, &root.join("mounts")] {
                fs_err::create_dir_all(dir).map_err(|error| BuildError::io("create", dir, error))?;
            }
            Cache::open(&root.join("cache.redb"))
        })
        .await?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let places = if options.parallel == 0 { processors.max(2) } else { options.parallel };
        let shared = Arc::new(Shared {
            mounts: CacheMounts::new(options.root.join("mounts")),
            options,
            worker,
            cache,
            places: Semaphore::new(places),
            turns: Mutex::default(),
            anew: Anew::default(),
            collecting: tokio::sync::Mutex::new(()),
        });
        let builder = Self { shared };
        builder.reconcile().await?;
        Ok(builder)
    }

    /// Records and layers are brought together: a record without its layers is worth nothing, a layer without a record
    /// is of an interrupted build.
    async fn reconcile(&self) -> Result<(), BuildError> {
        let kept: HashSet<String> = self.shared.worker.kept()?.into_iter().collect();
        let records = self.shared.cache.all()?;
        let broken: Vec<String> = records
            .iter()
            .filter(|(_, record)| record.layers.iter().any(|layer| !kept.contains(layer)))
            .map(|(key, _)| key.clone())
            .collect();
        if !broken.is_empty() {
            self.shared.cache.forget(&broken)?;
        }
        self.sweep().await.map(drop)
    }

    /// Lets go of layers that no record names and no build works with.
    async fn sweep(&self) -> Result<u64, BuildError> {
        let kept = self.shared.worker.kept()?;
        // Read after the layers: one that is kept meanwhile is not in the list.
        let known: HashSet<String> = self.shared.cache.all()?.into_values().flat_map(|record| record.layers).collect();
        let loose: Vec<String> =
            kept.into_iter().filter(|layer| !known.contains(layer) && !self.shared.cache.is_in_use(layer)).collect();
        if loose.is_empty() {
            return Ok(0);
        }
        self.shared.cache.forget_layers(&loose);
        self.shared.worker.release(loose).await
    }

    /// Builds. Events tell what happens meanwhile; canceling kills what runs and leaves nothing of it.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build(
        &self,
        mut request: BuildRequest,
        events: Events,
        cancel: CancellationToken,
    ) -> Result<BuildResult, BuildError> {
        if request.source_date_epoch.is_none()
            && let Some(text) = request.args.get("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty())
        {
            let number = text
                .parse()
                .map_err(|_| BuildError::Request(format!("SOURCE_DATE_EPOCH={text}: expected seconds since 1970")))?;
            request.source_date_epoch = Some(number);
        }
        let (sources, targets) = (portable::sources(&request)?, portable::targets(&request)?);
        let platforms = platforms(&request)?;
        let request = Arc::new(request);
        let resolver = Resolver::new(&self.shared.worker, &request, events.clone());
        let next = || StepId(resolver.take(1));
        let (ours, begun, since) = (cancel.child_token(), now(), Instant::now());
        let planning = async {
            let main = platforms.first().cloned().unwrap_or_else(Platform::local);
            let reading = Imports::read(&self.shared.worker, sources, &main, &events, &next);
            let (imports, graphs) = tokio::join!(reading, self.plan(&request, &resolver, &platforms, &events));
            graphs.map(|graphs| (Arc::new(imports), graphs))
        };
        let (imports, graphs) = tokio::select! {
            planned = planning => planned?,
            () = cancel.cancelled() => return Err(BuildError::Canceled),
        };
        let mut parts = Vec::new();
        for (platform, graph) in platforms.into_iter().zip(graphs) {
            let first = resolver.take(graph.nodes.len());
            announce(&graph, first, &events);
            let (shared, with) = (Arc::clone(&self.shared), (Arc::clone(&request), Arc::clone(&imports)));
            let solve = Arc::new(Solve::new(shared, graph, with, events.clone(), ours.clone(), (first, since))?);
            parts.push(Part { platform, solve });
        }
        let result = export::run(&parts, (&targets, begun), &next).await;
        ours.cancel();
        let mut asked = Vec::new();
        for Part { solve, .. } in &parts {
            solve.tasks.close();
            solve.tasks.wait().await;
            asked.extend(solve.asked());
        }
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.cache.used(&asked)).await?;
        drop(parts);
        self.tidy_later();
        result
    }

    /// From text to a graph for each platform.
    async fn plan(
        &self,
        request: &BuildRequest,
        resolver: &Resolver<'_, W>,
        platforms: &[Platform],
        events: &Events,
    ) -> Result<Vec<Graph>, BuildError> {
        let file = dockerfile::parse(&request.dockerfile_name, request.dockerfile.as_bytes())?;
        let local = Platform::local();
        let mut graphs = Vec::new();
        for (number, platform) in platforms.iter().enumerate() {
            let global = GlobalScope::new(&file, &request.args, platform, &local)?;
            let plan = Plan::new(&file, &global, request.contexts.keys().cloned(), request.target.as_deref())?;
            if number == 0 {
                for name in global.unused(&file) {
                    let message = format!("the build argument {name:?} is declared by no ARG of the Dockerfile");
                    let _ = events.send(BuildEvent::Warning { message, span: None });
                }
            }
            let wanted = graph::references(&file, &plan, request);
            resolver.ahead(&wanted, platform).await;
            let several = platforms.len() > 1;
            graphs.push(lower(&file, &plan, &global, request, resolver, (platform, several)).await?);
        }
        Ok(graphs)
    }

    /// Collects what is too much, beside everything else.
    fn tidy_later(&self) {
        let builder = self.clone();
        tokio::spawn(async move {
            if let Err(error) = builder.tidy().await {
                tracing::warn!(error = %error.message(), "cannot tidy the build cache");
            }
        });
    }

    async fn tidy(&self) -> Result<(), BuildError> {
        let Ok(_one_at_a_time) = self.shared.collecting.try_lock() else { return Ok(()) };
        let shared = Arc::clone(&self.shared);
        let doomed = blocking(move || {
            let records = shared.cache.all()?;
            let options = PruneOptions { keep: Some(shared.options.cache_limit), ..PruneOptions::default() };
            Ok(crate::cache::choose(&records, &options, &|layer| shared.cache.is_in_use(layer), now()))
        })
        .await?;
        if !doomed.is_empty() {
            self.shared.cache.forget(&doomed)?;
        }
        self.sweep().await.map(drop)
    }

    /// What the cache holds.
    ///
    /// # Errors
    /// When the cache's records cannot be read.
    pub async fn cache(&self) -> Result<Vec<CacheEntry>, BuildError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let records = shared.cache.all()?;
            let of_images = shared.worker.in_images();
            let mut entries: Vec<CacheEntry> = records
                .into_iter()
                .map(|(key, record)| CacheEntry {
                    id: key,
                    in_use: record.layers.iter().any(|layer| shared.cache.is_in_use(layer)),
                    parents: record.parents,
                    kind: record.kind,
                    description: record.description,
                    size: record.size,
                    created_at: record.created_at,
                    last_used_at: record.last_used_at,
                    usage_count: record.uses,
                    shared: record.own.is_some_and(|own| of_images.contains(&own)),
                })
                .collect();
            entries.extend(shared.mounts.list().into_iter().map(|(id, path, size, modified)| CacheEntry {
                id,
                parents: Vec::new(),
                kind: MOUNT.into(),
                description: format!("cache mount {}", path.display()),
                size,
                created_at: modified,
                last_used_at: modified,
                usage_count: 0,
                shared: false,
                in_use: shared.mounts.is_in_use(&path),
            }));
            Ok(entries)
        })
        .await
    }

    /// Removes from the cache.
    ///
    /// # Errors
    /// When the cache's records cannot be changed.
    pub async fn prune(&self, options: PruneOptions) -> Result<PruneReport, BuildError> {
        let _one_at_a_time = self.shared.collecting.lock().await;
        let shared = Arc::clone(&self.shared);
        let (removed, mut reclaimed) = blocking(move || {
            let records = shared.cache.all()?;
            let root = &shared.options.root;
            let disk = rustix::fs::statvfs(root).map_err(|error| BuildError::io("look at the disk of", root, error))?;
            let total = records.values().map(|record| record.size).sum();
            let keep = options.room(total, disk.f_bavail.saturating_mul(disk.f_frsize));
            let options = PruneOptions { keep, ..options };
            let mut doomed = crate::cache::choose(&records, &options, &|layer| shared.cache.is_in_use(layer), now());
            if !options.all && options.ids.is_empty() && options.keep.is_none() {
                // What an image has stays with it, as with Docker's: removing it would free nothing.
                let of_images = shared.worker.in_images();
                let shared = |key: &String| {
                    records.get(key).is_some_and(|record| record.layers.iter().any(|layer| of_images.contains(layer)))
                };
                doomed.retain(|key| !shared(key));
            }
            let mut removed = shared.cache.forget(&doomed)?;
            let mut reclaimed = 0;
            for (id, path, size, modified) in shared.mounts.list() {
                let old = options.unused_for.is_none_or(|age| now() - modified >= age.cast_signed());
                let meant = (options.ids.is_empty() || options.ids.contains(&id))
                    && (options.kinds.is_empty() || options.kinds.iter().any(|kind| kind == MOUNT));
                if old && meant && (options.all || !options.ids.is_empty()) && shared.mounts.remove(&path)? {
                    removed.push(id);
                    reclaimed += size;
                }
            }
            Ok((removed, reclaimed))
        })
        .await?;
        reclaimed += self.sweep().await?;
        Ok(PruneReport { removed, reclaimed })
    }

    /// Where the builder keeps its own files.
    pub fn root(&self) -> &Path {
        &self.shared.options.root
    }
}

const MOUNT: &str = "exec.cachemount";

/// The platforms that are asked for, each once; this machine's if none is.
fn platforms(request: &BuildRequest) -> Result<Vec<Platform>, BuildError> {
    let local = Platform::local();
    if let (Some(memory), Some(swap)) = (request.resources.memory, request.resources.memory_swap)
        && swap >= 0
        && swap.cast_unsigned() < memory
    {
        return Err(BuildError::Request(
            "--memory-swap is memory and swap together: it cannot be less than --memory".into(),
        ));
    }
    let mut found = Vec::new();
    for text in &request.platforms {
        let platform = Platform::parse(text, &local)
            .ok_or_else(|| BuildError::Request(format!("{text:?} is no platform: expected os/arch")))?;
        if !found.contains(&platform) {
            found.push(platform);
        }
    }
    if found.len() > 1 && request.outputs.iter().any(|output| matches!(output, Output::Docker(..))) {
        return Err(BuildError::Request(
            "an archive for docker load holds one platform: use type=oci, or build one platform at a time".into(),
        ));
    }
    let image = |output: &Output| matches!(output, Output::Image(_) | Output::Oci(..));
    if request.attestations.any() && !(request.outputs.is_empty() || request.outputs.iter().any(image)) {
        return Err(BuildError::Request(
            "attestations (--provenance, --sbom) are kept with an image: use type=image, registry or oci".into(),
        ));
    }
    if found.is_empty() {
        found.push(local);
    }
    Ok(found)
}

/// Tells of a graph's steps before any of them runs.
fn announce(graph: &Graph, first: u32, events: &Events) {
    let step = |id: usize| StepId(first + u32::try_from(id).unwrap_or(u32::MAX));
    for (id, node) in graph.nodes.iter().enumerate() {
        let _ = events.send(BuildEvent::Planned(StepInfo {
            id: step(id),
            name: node.name.clone(),
            stage: Some(node.stage.clone()),
            span: Some(node.span),
            inputs: node.inputs().into_iter().map(step).collect(),
        }));
    }
    for (message, span) in &graph.warnings {
        let _ = events.send(BuildEvent::Warning { message: message.clone(), span: Some(*span) });
    }
}
