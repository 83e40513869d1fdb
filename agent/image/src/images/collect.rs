//! Collection: what no image, container or running work refers to is removed.

use std::collections::{BTreeSet, HashSet};

use super::{Images, blocking};
use crate::digest::Digest;
use crate::error::Error;
use crate::store::State;

/// The blobs that the records vouch for.
pub(super) fn blobs_of(state: &State) -> HashSet<Digest> {
    let mut blobs = HashSet::new();
    for (id, image) in &state.images {
        blobs.insert(id.clone());
        blobs.insert(image.manifest.digest.clone());
        for name in &image.digests {
            blobs.extend(name.rsplit_once('@').and_then(|(_, digest)| digest.parse().ok()));
        }
    }
    for index in state.indexes.values() {
        blobs.insert(index.descriptor.digest.clone());
        blobs.extend(index.extra.iter().map(|blob| blob.digest.clone()));
        blobs.extend(index.members.iter().flat_map(|member| [member.id.clone(), member.manifest.digest.clone()]));
    }
    blobs.extend(state.layers.values().map(|l| l.blob.digest.clone()));
    blobs
}

impl Images {
    /// Removes layers and blobs that nobody needs; returns the bytes of the blobs and layers that went.
    pub(crate) async fn collect(&self) -> Result<u64, Error> {
        let inner = &self.inner;
        let _nobody_records = inner.collecting.write().await;
        let (epoch, dirs, blobs) = (&inner.epoch, &inner.dirs, &inner.blobs);
        let (layer_dirs, _) = dirs.list()?;
        let standing = dirs.used_by_containers()?;
        let held: HashSet<String> = dirs.held()?.into_iter().collect();
        let present: HashSet<&str> = layer_dirs.iter().map(String::as_str).collect();
        let (state, freed) = inner
            .state
            .update(|state| {
                state.distrust(epoch, |dir| present.contains(dir), |digest| blobs.size(digest).is_some());
                let mut needed: BTreeSet<Digest> =
                    state.images.values().flat_map(|i| i.chain.iter().cloned()).collect();
                needed.extend(state.indexes.values().flat_map(|i| &i.members).flat_map(|m| m.chain.iter().cloned()));
                for (chain, layer) in &state.layers {
                    if standing.contains(&layer.dir) || inner.pins.is_pinned(chain) {
                        needed.extend(state.lineage(chain).unwrap_or_default().into_iter().map(|(c, _)| c.clone()));
                    }
                }
                let mut freed = 0;
                state.layers.retain(|chain, layer| {
                    let keep = needed.contains(chain);
                    if !keep && !held.contains(&layer.dir) {
                        freed += layer.size;
                    }
                    keep
                });
                Ok((state.clone(), freed))
            })
            .await?;
        let known: HashSet<&str> = state.layers.values().map(|l| l.dir.as_str()).collect();
        for dir in &layer_dirs {
            if !known.contains(dir.as_str()) && !held.contains(dir) && !dirs.is_being_filled(dir) {
                dirs.discard(&dirs.layer(dir))?;
            }
        }
        let referenced = blobs_of(&state);
        let mut freed = freed;
        for digest in blobs.list()? {
            if !referenced.contains(&digest) && !inner.pins.is_pinned(&digest) {
                freed += blobs.remove(&digest);
            }
        }
        self.forget_configs(|id| state.images.contains_key(id));
        let dirs = std::sync::Arc::clone(dirs);
        blocking(move || dirs.empty_trash()).await?;
        Ok(freed)
    }

    /// Removes what arrived of blobs that never became whole.
    pub(crate) fn collect_partials(&self) -> u64 {
        self.inner.blobs.remove_partials(|digest| self.inner.pins.is_pinned(digest))
    }
}
