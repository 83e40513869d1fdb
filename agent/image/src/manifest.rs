//! Manifests and indexes, of OCI's family and of Docker's (schema 2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::or_default;
use crate::digest::Digest;
use crate::platform::Platform;

/// The media types that are understood.
pub mod media_type {
    /// OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image configuration.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, uncompressed.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer, uncompressed.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer, zstd.
    pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

    /// What a client accepts for a manifest request, most wanted first.
    pub const ACCEPT: [&str; 4] = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST];

    /// Whether it names a list of manifests.
    pub fn is_index(media_type: &str) -> bool {
        matches!(media_type, OCI_INDEX | DOCKER_LIST)
    }

    /// Whether it names one image's manifest.
    pub fn is_manifest(media_type: &str) -> bool {
        matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST)
    }

    /// Whether it names a root file system layer in any form.
    pub fn is_layer(media_type: &str) -> bool {
        matches!(
            media_type,
            OCI_LAYER | OCI_LAYER_GZIP | OCI_LAYER_ZSTD | DOCKER_LAYER | DOCKER_LAYER_GZIP | DOCKER_LAYER_ZSTD
        ) || media_type.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar")
            || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
    }

    /// Whether it names an image configuration.
    pub fn is_config(media_type: &str) -> bool {
        matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
    }
}

/// A pointer to a blob (OCI descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Other places to get it from.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub urls: Vec<String>,
    /// In an index: what the manifest is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// What kind of artifact a manifest describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// A descriptor of a blob without further notes.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            platform: None,
            annotations: BTreeMap::new(),
            artifact_type: None,
        }
    }
}

/// One image's manifest (OCI manifest.md; Docker's schema 2 has the same fields).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, oldest first.
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
}

/// A list of manifests, one for each platform (OCI image-index.md; Docker's manifest list).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifests.
    #[serde(default, deserialize_with = "or_default")]
    pub manifests: Vec<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
}

/// Either of the two things that a manifest request can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyManifest {
    /// One image.
    Image(Box<Manifest>),
    /// Several, by platform.
    Index(Index),
}

/// Why bytes are no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not with these fields.
    #[error("malformed manifest")]
    Json(#[source] serde_json::Error),
    /// Docker's schema 1, which no registry should still serve.
    #[error(
        "manifest has the obsolete schema version 1, which is not supported; push the image again with a newer client"
    )]
    Schema1,
    /// Some other schema version.
    #[error("manifest has the unknown schema version {0}")]
    Schema(u64),
    /// A media type that is no image.
    #[error("unsupported manifest media type {0:?}")]
    MediaType(String),
}

impl AnyManifest {
    /// Reads a manifest. `declared` is the media type that came with it; the document's own `mediaType` wins where both
    /// are known, and its fields decide where neither is.
    pub fn parse(bytes: &[u8], declared: Option<&str>) -> Result<AnyManifest, ManifestError> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        match value.get("schemaVersion").and_then(serde_json::Value::as_u64) {
            Some(2) => {}
            Some(1) => return Err(ManifestError::Schema1),
            Some(other) => return Err(ManifestError::Schema(other)),
            None => {}
        }
        let own = value.get("mediaType").and_then(serde_json::Value::as_str);
        let known = |m: &&str| media_type::is_index(m) || media_type::is_manifest(m);
        let is_index = match own.filter(known).or(declared.filter(known)) {
            Some(kind) => media_type::is_index(kind),
            None => match own {
                Some(other) => {
                    return Err(ManifestError::MediaType(other.chars().take(200).collect()));
                }
                None => value.get("manifests").is_some() && value.get("config").is_none(),
            },
        };
        if is_index {
            serde_json::from_slice(bytes).map(AnyManifest::Index).map_err(ManifestError::Json)
        } else {
            serde_json::from_slice(bytes).map(|m| AnyManifest::Image(Box::new(m))).map_err(ManifestError::Json)
        }
    }
}

impl Index {
    /// The manifest that suits `platform` best. Entries without a platform count as a last resort; attestations and
    /// other artifacts (`unknown/unknown`) never do.
    pub fn choose(&self, platform: &Platform) -> Option<&Descriptor> {
        let mut best: Option<(u32, &Descriptor)> = None;
        for entry in &self.manifests {
            let score = match &entry.platform {
                Some(offered) => platform.suits(offered),
                None if media_type::is_manifest(&entry.media_type) => Some(1),
                None => None,
            };
            // The first of equals wins: the order of an index is its publisher's preference.
            if let Some(score) = score
                && best.is_none_or(|(b, _)| score > b)
            {
                best = Some((score, entry));
            }
        }
        best.map(|(_, entry)| entry)
    }

    /// The platforms on offer, as people write them.
    pub fn platforms(&self) -> Vec<String> {
        let named = self.manifests.iter().filter_map(|m| m.platform.as_ref());
        named.filter(|p| p.os != "unknown").map(|p| p.clone().normalised().to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tells_the_families_apart() {
        let hash = Digest::of(b"x");
        let manifest =
            format!(r#"{{"schemaVersion":2,"config":{{"mediaType":"m","digest":"{hash}","size":1}},"layers":null}}"#);
        assert!(matches!(AnyManifest::parse(manifest.as_bytes(), None), Ok(AnyManifest::Image(_))));
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(matches!(AnyManifest::parse(index.as_bytes(), None), Ok(AnyManifest::Index(_))));
        assert!(matches!(AnyManifest::parse(br#"{"schemaVersion":1}"#, None), Err(ManifestError::Schema1)));
        assert!(matches!(
            AnyManifest::parse(br#"{"schemaVersion":2,"mediaType":"x/y"}"#, None),
            Err(ManifestError::MediaType(_))
        ));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), declared in proptest::option::of("[a-z/.+]{0,20}")) {
            let _ = AnyManifest::parse(&bytes, declared.as_deref());
        }
    }
}
