//! Answers from caches elsewhere. A layer is fetched when a tree needs it, never ahead.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};

use super::document::{self, Read, Step, Steps};
use crate::cache::{Record, now};
use crate::dockerfile::Platform;
use crate::graph::NodeId;
use crate::solve::{Link, Solve, Tree, blocking};
use crate::{BuildError, BuildEvent, CachePlace, Draft, Events, LayerBlob, StepId, StepInfo, Worker};

/// The caches of one build.
#[derive(Default)]
pub(crate) struct Imports {
    found: Vec<(CachePlace, Read)>,
    /// One tree is fetched at a time: trees share layers.
    fetching: tokio::sync::Mutex<()>,
}

impl Imports {
    /// Reads the caches' documents. One that cannot be read is told of, and does without.
    pub(crate) async fn read<W: Worker>(
        worker: &W,
        sources: Vec<(String, CachePlace)>,
        platform: &Platform,
        events: &Events,
        next: &(dyn Fn() -> StepId + Sync),
    ) -> Self {
        let reading = sources.into_iter().map(|(name, place)| {
            let step = next();
            async move {
                let tell = |event| drop(events.send(event));
                let shown = format!("importing cache from {name}");
                let info = StepInfo { id: step, name: shown, stage: None, span: None, inputs: Vec::new() };
                tell(BuildEvent::Planned(info));
                tell(BuildEvent::Started { step });
                let found = match worker.read_cache(place.clone(), platform.to_string()).await {
                    Ok(Some(found)) => document::read(found),
                    Ok(None) => Err("there is none yet".to_owned()),
                    Err(error) => Err(error.message()),
                };
                tell(BuildEvent::Done { step });
                match found {
                    Ok(read) => Some((place, read)),
                    Err(why) => {
                        let message = format!("the cache {name} is not used: {why}");
                        tell(BuildEvent::Warning { message, span: None });
                        None
                    }
                }
            }
        });
        Self { found: join_all(reading).await.into_iter().flatten().collect(), ..Self::default() }
    }

    /// The key by content of a key by definition.
    pub(crate) fn alias(&self, definition: &str) -> Option<String> {
        self.found.iter().find_map(|(_, read)| read.steps.aliases.get(definition).cloned())
    }

    /// A cache that has a step and all below it.
    fn of(&self, key: &str) -> Option<(&CachePlace, &Read, Vec<String>)> {
        self.found.iter().find_map(|(place, read)| Some((place, read, read.steps.chain(key)?)))
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.found.iter().any(|(_, read)| read.steps.steps.contains_key(key))
    }

    /// Steps of the cache at a place that was read as well, for a cache that is written there again: their layers need
    /// not travel.
    pub(super) fn at(&self, place: &CachePlace) -> Option<(&Steps, &[(LayerBlob, String)])> {
        let same = |other: &CachePlace| match (other, place) {
            (CachePlace::Registry { reference: one, .. }, CachePlace::Registry { reference: other, .. }) => {
                one == other
            }
            _ => false,
        };
        self.found.iter().find(|(other, _)| same(other)).map(|(_, read)| (&read.steps, read.layers.as_slice()))
    }
}

impl<W: Worker> Solve<W> {
    /// The tree of a key as a cache elsewhere has it: what is not here is fetched, and from then on known here, too.
    pub(crate) async fn import(self: &Arc<Self>, id: NodeId, key: &str) -> Result<Option<Vec<Link>>, BuildError> {
        let imports = Arc::clone(&self.imports);
        let _one_at_a_time = imports.fetching.lock().await;
        let Some((place, read, keys)) = imports.of(key) else { return Ok(None) };
        // The longest part that is known here; another tree may have brought it.
        let mut chain: Vec<Link> = Vec::new();
        let mut rest = keys.as_slice();
        for at in (0..keys.len()).rev() {
            if let Some(record) = self.shared.cache.find(&keys[at], &self.lease)? {
                (chain, rest) = (record.chain, &keys[at + 1..]);
                break;
            }
        }
        let below = self.dirs(&Tree { base: self.base(id), chain: chain.clone() });
        let fetch = rest.iter().map(|key| {
            let step = &read.steps.steps[key];
            let below = below.clone();
            async move {
                let Some(layer) = step.layer else { return Ok(None) };
                self.fetch_layer(id, place, &read.layers[layer], below).await.map(Some)
            }
        });
        let drafts = tokio::select! {
            drafts = try_join_all(fetch) => drafts?,
            () = self.cancel.cancelled() => return Err(BuildError::Canceled),
        };
        for (key, draft) in rest.iter().zip(drafts) {
            let step = &read.steps.steps[key];
            let own = match draft {
                Some(draft) => {
                    let name = draft.name().to_owned();
                    self.lease.add(std::slice::from_ref(&name));
                    self.shared.worker.keep(draft).await?;
                    Some(name)
                }
                None => None,
            };
            let parent = chain.last().map(|link| link.key.clone());
            chain.push(Link { key: key.clone(), own, created_at: step.created_at });
            let record = record(step, &chain, parent);
            let (shared, key) = (Arc::clone(&self.shared), key.clone());
            blocking(move || shared.cache.put(&key, &record)).await?;
        }
        Ok(Some(chain))
    }

    async fn fetch_layer(
        self: &Arc<Self>,
        id: NodeId,
        place: &CachePlace,
        (blob, diff_id): &(LayerBlob, String),
        below: Vec<std::path::PathBuf>,
    ) -> Result<W::Draft, BuildError> {
        let (events, step) = (self.events.clone(), self.step(id));
        let report = Arc::new(move |part: String, current, total| {
            let _ = events.send(BuildEvent::Progress { step, part, current, total });
        });
        self.shared.worker.fetch_layer(place.clone(), blob.clone(), diff_id.clone(), below, report).await
    }
}

fn record(step: &Step, chain: &[Link], parent: Option<String>) -> Record {
    let layers: Vec<String> = chain.iter().filter_map(|link| link.own.clone()).collect();
    debug_assert_eq!(layers.iter().collect::<HashSet<_>>().len(), layers.len(), "every step has a layer of its own");
    Record {
        layers,
        chain: chain.to_vec(),
        own: chain.last().and_then(|link| link.own.clone()),
        parents: parent.into_iter().collect(),
        kind: if step.kind.is_empty() { "regular".into() } else { step.kind.clone() },
        description: step.description.clone(),
        size: step.size,
        created_at: now(),
        last_used_at: now(),
        uses: 0,
        took: step.took,
    }
}
