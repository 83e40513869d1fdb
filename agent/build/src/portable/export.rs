//! Writing caches: which steps, then their layers, then the document.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::document::{Document, Layer, LayerNotes, MEDIA_TYPE, Step, Steps};
use super::place::Target;
use crate::solve::{Link, Solve, Tree, blocking};
use crate::{BuildError, BuildEvent, CacheDocument, LayerBlob, StepId, Worker};

/// Layers that go out at once.
const UPLOADS: usize = 4;

/// Where a layer of a step is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// A directory here, by its name.
    Here(String),
    /// A number of a layer of the cache that is written anew.
    There(usize),
}

/// The steps to write, with their layers in the order of the manifest.
#[derive(Default)]
struct Plan {
    steps: BTreeMap<String, Step>,
    aliases: BTreeMap<String, String>,
    layers: Vec<Source>,
    numbers: BTreeMap<Source, usize>,
}

impl Plan {
    fn layer(&mut self, source: Source) -> usize {
        *self.numbers.entry(source.clone()).or_insert_with(|| {
            self.layers.push(source);
            self.layers.len() - 1
        })
    }

    /// Adds the steps of a tree.
    fn tree<W: Worker>(&mut self, solve: &Solve<W>, chain: &[Link]) -> Result<(), BuildError> {
        let mut below: Option<String> = None;
        for link in chain {
            if !self.steps.contains_key(&link.key) {
                let known = solve.shared.cache.find(&link.key, &solve.lease)?.unwrap_or_default();
                let step = Step {
                    below: below.clone(),
                    layer: link.own.clone().map(|name| self.layer(Source::Here(name))),
                    created_at: link.created_at,
                    kind: known.kind,
                    description: known.description,
                    size: known.size,
                    took: known.took,
                };
                self.steps.insert(link.key.clone(), step);
            }
            below = Some(link.key.clone());
        }
        Ok(())
    }

    /// Adds a step that only the cache at the target has, and what it builds on.
    fn carried(&mut self, key: &str, there: &Steps) {
        for key in there.chain(key).unwrap_or_default() {
            if self.steps.contains_key(&key) {
                continue;
            }
            let mut step = there.steps[&key].clone();
            step.layer = step.layer.map(|number| self.layer(Source::There(number)));
            self.steps.insert(key, step);
        }
    }
}

/// The inline cache of an image: its own steps, whose layers come behind so many of its base.
pub(crate) fn inline<W: Worker>(solve: &Solve<W>, tree: &Tree, base: usize) -> Result<Steps, BuildError> {
    let mut plan = Plan::default();
    plan.tree(solve, &tree.chain)?;
    // A tree's layers are numbered from the oldest on, as the image's are.
    let shift = |mut step: Step| {
        step.layer = step.layer.map(|number| number + base);
        step.took = 0;
        step
    };
    let steps: BTreeMap<String, Step> = plan.steps.into_iter().map(|(key, step)| (key, shift(step))).collect();
    let mut aliases = solve.aliases();
    aliases.retain(|_, key| steps.contains_key(key));
    Ok(Steps { steps, aliases, ..Steps::new() })
}

/// Writes a cache of what was built; `trees` are the results, one for each platform.
pub(crate) async fn carry_out<W: Worker>(
    built: &[(Arc<Solve<W>>, Arc<Tree>)],
    target: &Target,
    step: StepId,
) -> Result<(), BuildError> {
    let Some((first, _)) = built.first() else { return Ok(()) };
    let there = first.imports.at(&target.place);
    let mut plan = Plan::default();
    for (solve, tree) in built {
        plan.tree(solve, &tree.chain)?;
        plan.aliases.extend(solve.aliases());
        if !target.all {
            continue;
        }
        for (id, key) in solve.keys_of_nodes() {
            if let Some(record) = solve.shared.cache.find(&key, &solve.lease)? {
                plan.tree(solve, &record.chain)?;
            } else if let Some((steps, _)) = there.filter(|(steps, _)| steps.chain(&key).is_some()) {
                plan.carried(&key, steps);
            } else if let Some(chain) = solve.import(id, &key).await? {
                plan.tree(solve, &chain)?;
            }
        }
    }
    // Aliases of what is not there would lead nowhere.
    plan.aliases.retain(|_, key| plan.steps.contains_key(key));
    let layers: Vec<(LayerBlob, String)> = stream::iter(plan.layers.iter().cloned())
        .map(|source| put(first, target, step, source, there.map(|(_, layers)| layers)))
        .buffered(UPLOADS)
        .try_collect()
        .await?;
    let parents = parents(&plan.steps);
    let document = Document {
        layers: layers
            .iter()
            .enumerate()
            .map(|(number, (blob, diff_id))| Layer {
                blob: blob.digest.clone(),
                parent: parents.get(&number).map_or(-1, |parent| i64::try_from(*parent).unwrap_or(-1)),
                annotations: LayerNotes {
                    media_type: blob.media_type.clone(),
                    diff_id: diff_id.clone(),
                    size: blob.size,
                },
            })
            .collect(),
        hoist: Some(Steps { steps: plan.steps, aliases: plan.aliases, ..Steps::new() }),
    };
    let config = serde_json::to_vec(&document)
        .map_err(|error| BuildError::Engine(format!("the cache's document cannot be written: {error}")))?;
    let layers = layers.into_iter().map(|(blob, _)| blob).collect();
    let document = CacheDocument { kind: MEDIA_TYPE.into(), config, layers };
    first.shared.worker.put_cache(target.place.clone(), document).await.map(drop)
}

/// The layer below each, as far as steps say.
fn parents(steps: &BTreeMap<String, Step>) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for step in steps.values() {
        let Some(number) = step.layer.filter(|number| seen.insert(*number)) else { continue };
        let mut below = step.below.as_ref();
        while let Some(step) = below.and_then(|key| steps.get(key)) {
            if let Some(parent) = step.layer {
                found.insert(number, parent);
                break;
            }
            below = step.below.as_ref();
        }
    }
    found
}

/// Brings a layer to its place; answers its blob and the digest of its uncompressed archive.
async fn put<W: Worker>(
    solve: &Arc<Solve<W>>,
    target: &Target,
    step: StepId,
    source: Source,
    there: Option<&[(LayerBlob, String)]>,
) -> Result<(LayerBlob, String), BuildError> {
    let name = match source {
        Source::Here(name) => name,
        Source::There(number) => {
            let layer = there.and_then(|layers| layers.get(number)).cloned();
            return layer.ok_or_else(|| BuildError::Engine("a layer of a cache was lost".into()));
        }
    };
    let mut digest = solve.describe(name.clone()).await?;
    let events = solve.events.clone();
    let report = Arc::new(move |part: String, current, total| {
        let _ = events.send(BuildEvent::Progress { step, part, current, total });
    });
    let known = digest.blobs.get(&target.compression).cloned();
    let worker = &solve.shared.worker;
    let blob = worker.put_layer(target.place.clone(), name.clone(), known.clone(), target.compression, report).await?;
    if known.as_ref() != Some(&blob) {
        digest.blobs.insert(target.compression, blob.clone());
        let (shared, digest) = (Arc::clone(&solve.shared), digest.clone());
        blocking(move || shared.cache.put_layer(&name, &digest)).await?;
    }
    Ok((blob, digest.diff_id))
}
