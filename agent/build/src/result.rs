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
    /// Bytes that may stay in any case.
    pub keep: Option<u64>,
    /// Bytes that may stay at most.
    pub max_used: Option<u64>,
    /// Bytes that shall be free afterwards where the cache is.
    pub min_free: Option<u64>,
    /// Only what was not used for so many seconds.
    pub unused_for: Option<u64>,
    /// Only these ids.
    pub ids: Vec<String>,
    /// Only these kinds.
    pub kinds: Vec<String>,
}

impl PruneOptions {
    /// The bytes that may stay, of so many that the cache has, while so many are free; `None` where none have to.
    pub(crate) fn room(&self, total: u64, free: u64) -> Option<u64> {
        if (self.keep, self.max_used, self.min_free) == (None, None, None) {
            return None;
        }
        let lacking = self.min_free.map(|wanted| total.saturating_sub(wanted.saturating_sub(free)));
        let most = match (self.max_used, lacking) {
            (Some(most), Some(left)) => most.min(left),
            (most, left) => most.or(left).unwrap_or(0),
        };
        Some(most.max(self.keep.unwrap_or(0)))
    }
}

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Ids of what went.
    pub removed: Vec<String>,
    /// Bytes that are free now.
    pub reclaimed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_stay() {
        let room = |keep, max_used, min_free| {
            PruneOptions { keep, max_used, min_free, ..PruneOptions::default() }.room(100, 30)
        };
        assert_eq!(room(None, None, None), None);
        assert_eq!(room(Some(10), None, None), Some(10));
        assert_eq!(room(None, Some(60), None), Some(60));
        assert_eq!(room(Some(70), Some(60), None), Some(70));
        // 20 more are to be free.
        assert_eq!(room(None, None, Some(50)), Some(80));
        assert_eq!(room(None, Some(60), Some(50)), Some(60));
        assert_eq!(room(Some(90), None, Some(50)), Some(90));
        // Enough is free already.
        assert_eq!(room(None, None, Some(20)), Some(100));
    }
}
