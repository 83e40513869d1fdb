//! The form in which a cache travels. Its outer part is BuildKit's cache configuration, so that tools that list such
//! caches show its layers; the steps themselves are in a part of our own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{CacheDocument, LayerBlob};

/// The media type of the document, as the configuration blob of a cache's manifest.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.buildkit.cacheconfig.v0";
/// The field of an image's configuration that holds an inline cache.
pub(crate) const INLINE: &str = "hoist.cache.v1";
/// The version of [`Steps`].
const VERSION: u32 = 1;

/// A cache.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Document {
    pub layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hoist: Option<Steps>,
}

/// A layer, in the order of the manifest's.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Layer {
    pub blob: String,
    /// The layer below; -1 for none.
    pub parent: i64,
    pub annotations: LayerNotes,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LayerNotes {
    pub media_type: String,
    #[serde(rename = "diffID")]
    pub diff_id: String,
    pub size: u64,
}

/// Steps by key.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Steps {
    pub version: u32,
    pub steps: BTreeMap<String, Step>,
    /// Keys by content, by keys by definition.
    pub aliases: BTreeMap<String, String>,
}

/// A step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Step {
    /// The key of the step that it builds on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<String>,
    /// Its layer's number in the manifest, if it changed anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
    /// Seconds since 1970.
    pub created_at: i64,
    pub kind: String,
    pub description: String,
    /// Bytes of its layer.
    pub size: u64,
    /// Milliseconds.
    pub took: u64,
}

impl Steps {
    pub(super) fn new() -> Self {
        Self { version: VERSION, ..Self::default() }
    }

    /// The keys from the first step on an image to `key`; `None` if one is missing, or they go in a circle.
    pub(super) fn chain(&self, key: &str) -> Option<Vec<String>> {
        let mut chain = Vec::new();
        let mut at = Some(key);
        while let Some(key) = at {
            if chain.len() > self.steps.len() {
                return None;
            }
            let (key, step) = self.steps.get_key_value(key)?;
            chain.push(key.clone());
            at = step.below.as_deref();
        }
        chain.reverse();
        Some(chain)
    }
}

/// What was read: steps, and the layers that they name, each with the digest of its uncompressed archive.
pub(super) struct Read {
    pub steps: Steps,
    pub layers: Vec<(LayerBlob, String)>,
}

/// Reads a cache's document, or the inline cache in an image's configuration.
///
/// # Errors
/// Why there is nothing to be found in it, in words.
pub(super) fn read(found: CacheDocument) -> Result<Read, String> {
    let wrong = |error: serde_json::Error| format!("its configuration is not what a cache has: {error}");
    if found.kind == MEDIA_TYPE {
        let document: Document = serde_json::from_slice(&found.config).map_err(wrong)?;
        let steps = document.hoist.ok_or("another builder wrote it, whose keys mean nothing here")?;
        if document.layers.len() != found.layers.len() {
            return Err("its configuration and its manifest have different numbers of layers".into());
        }
        let diff_ids = document.layers.into_iter().map(|layer| layer.annotations.diff_id);
        return checked(steps, found.layers.into_iter().zip(diff_ids).collect());
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Image {
        #[serde(rename = "hoist.cache.v1")]
        cache: Option<Steps>,
        rootfs: RootFs,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct RootFs {
        diff_ids: Vec<String>,
    }
    let image: Image = serde_json::from_slice(&found.config).map_err(wrong)?;
    let steps = image.cache.ok_or("it is an image without an inline cache (--cache-to type=inline puts one in)")?;
    if image.rootfs.diff_ids.len() != found.layers.len() {
        return Err("its configuration and its manifest have different numbers of layers".into());
    }
    checked(steps, found.layers.into_iter().zip(image.rootfs.diff_ids).collect())
}

fn checked(steps: Steps, layers: Vec<(LayerBlob, String)>) -> Result<Read, String> {
    if steps.version != VERSION {
        return Err(format!("it has the format version {}, this builder knows {VERSION}", steps.version));
    }
    let inside = |step: &Step| step.layer.is_none_or(|layer| layer < layers.len());
    if !steps.steps.values().all(inside) {
        return Err("a step of it names a layer that it has not".into());
    }
    Ok(Read { steps, layers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(kind: &str, config: &str, layers: usize) -> CacheDocument {
        let layer = LayerBlob { media_type: "t".into(), digest: "sha256:1".into(), size: 1 };
        CacheDocument { kind: kind.into(), config: config.into(), layers: vec![layer; layers] }
    }

    #[test]
    fn what_is_no_cache_of_ours_says_why() {
        let own =
            r#"{"layers":[{"blob":"b","annotations":{"diffID":"d"}}],"hoist":{"version":1,"steps":{"k":{"layer":0}}}}"#;
        assert_eq!(read(document(MEDIA_TYPE, own, 1)).map(|read| read.layers[0].1.clone()), Ok("d".to_owned()));
        let why = |kind: &str, config: &str, layers| read(document(kind, config, layers)).err().unwrap();
        assert!(why(MEDIA_TYPE, own, 2).contains("different numbers"));
        assert!(why(MEDIA_TYPE, &own.replace("\"layer\":0", "\"layer\":7"), 1).contains("has not"));
        assert!(why(MEDIA_TYPE, &own.replace("version\":1", "version\":9"), 1).contains("version 9"));
        assert!(why(MEDIA_TYPE, r#"{"records":[]}"#, 0).contains("another builder"));
        assert!(why("image", r#"{"rootfs":{"diff_ids":[]}}"#, 0).contains("without an inline cache"));
        assert!(why("image", "nonsense", 0).contains("is not what a cache has"));
    }

    #[test]
    fn chains_end_also_when_they_are_circles() {
        let mut steps = Steps::new();
        for (key, below) in [("a", None), ("b", Some("a")), ("x", Some("y")), ("y", Some("x")), ("z", Some("gone"))] {
            let below = below.map(str::to_owned);
            steps.steps.insert(key.into(), Step { below, ..Step::default() });
        }
        assert_eq!(steps.chain("b"), Some(vec!["a".into(), "b".into()]));
        assert_eq!((steps.chain("x"), steps.chain("z"), steps.chain("none")), (None, None, None));
    }
}
