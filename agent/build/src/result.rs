//! What a build leaves, and what the cache holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A finished build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildResult {
    /// The image's id (the digest of its configuration), if an image was made.
    pub image: Option<String>,
    /// The digest of its manifest.
    pub manifest: Option<String>,
    /// Names that it got, as people write them.
    pub names: Vec<String>,
    /// What `--metadata-file` holds: `containerimage.digest`, `containerimage.config.digest`, `image.name`, ….
    pub metadata: BTreeMap<String, serde_json::Value>,
}

/// One thing that the cache holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntry {
    /// Stable while it exists.
    pub id: String,
    /// What it depends on.
    pub parents: Vec<String>,
    /// `regular`, `source.local`, `exec.cachemount`, as Docker calls them.
    pub kind: String,
    /// The instruction.
    pub description: String,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Seconds since 1970.
    pub last_used_at: i64,
    pub usage_count: u64,
    /// An image has it too, so that removing it frees nothing.
    pub shared: bool,
    /// A build works with it now.
    pub in_use: bool,
}

/// What to remove from the cache; the least useful goes first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Everything that is not in use, also what images share with it.
    pub all: bool,
    /// Bytes that may stay.
    pub keep: Option<u64>,
    /// Only what was not used for so many seconds.
    pub unused_for: Option<u64>,
    /// Only these ids.
    pub ids: Vec<String>,
    /// Only these kinds.
    pub kinds: Vec<String>,
}

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Ids of what went.
    pub removed: Vec<String>,
    /// Bytes that are free now.
    pub reclaimed: u64,
}
