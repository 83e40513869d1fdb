//! The configuration of the image that a tree becomes.

use std::collections::{BTreeMap, HashMap};

use super::Export;
use crate::config::{History, ImageConfig};
use crate::portable;
use crate::solve::{Solve, Tree};
use crate::{BuildError, LayerDigest, Worker};

impl<W: Worker> Export<'_, W> {
    /// The configuration blob. It holds no time but those of its steps, so that a build whose results were all known
    /// makes the image that it made before.
    pub(super) fn config(
        &self,
        solve: &Solve<W>,
        tree: &Tree,
        layers: &[(String, LayerDigest)],
    ) -> Result<Vec<u8>, BuildError> {
        let target = &solve.graph.target;
        let mut config: ImageConfig = target.config.clone();
        config.rootfs.diff_ids = tree.base.iter().flat_map(|base| base.diff_ids.iter().cloned()).collect();
        let below = config.rootfs.diff_ids.len();
        config.rootfs.diff_ids.extend(layers.iter().map(|(_, digest)| digest.diff_id.clone()));
        config.config.labels.extend(solve.request.labels.clone());
        let links: HashMap<&str, _> = tree.chain.iter().map(|link| (link.key.as_str(), link)).collect();
        let asked = solve.keys_of_nodes();
        let mut created = solve.request.source_date_epoch.and_then(moment).or_else(|| config.created.clone());
        for (line, node) in &target.history {
            let link = node.and_then(|node| asked.get(&node)).and_then(|key| links.get(key.as_str()));
            if let Some(link) = link {
                created = moment(link.created_at);
            }
            let empty_layer = link.is_none_or(|link| link.own.is_none());
            config.history.push(History { created: created.clone(), empty_layer, ..line.clone() });
        }
        config.created = created;
        let known: BTreeMap<&str, ()> =
            ["id", "parent", "container", "container_config", "docker_version", portable::INLINE]
                .map(|key| (key, ()))
                .into();
        // What the base image says of its own making is not true of this one.
        config.extra.retain(|key, _| !known.contains_key(key.as_str()));
        let unwritten = |error| BuildError::Engine(format!("the image's configuration cannot be written: {error}"));
        if self.inline {
            let cache = portable::inline(solve, tree, below)?;
            config.extra.insert(portable::INLINE.into(), serde_json::to_value(cache).map_err(unwritten)?);
        }
        serde_json::to_vec(&config).map_err(unwritten)
    }
}

/// RFC 3339.
fn moment(seconds: i64) -> Option<String> {
    let system = hoist_proto::clock::Timestamp::from_second(seconds).ok()?;
    Some(system.to_string())
}
