//! What is said about volumes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hoist_proto::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// A volume as it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    /// `local`
    pub driver: String,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    pub created: Timestamp,
    /// Made without a name, for one container.
    #[serde(default)]
    pub anonymous: bool,
    /// Where its files are, on the host.
    #[serde(skip)]
    pub mountpoint: PathBuf,
    /// The containers that use it.
    #[serde(skip)]
    pub users: Vec<String>,
}

/// A volume's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub version: u32,
    #[serde(flatten)]
    pub volume: Volume,
}

/// Which unused volumes a prune removes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Also those with a name; else anonymous ones only.
    pub all: bool,
    /// `key` or `key=value`; all must hold.
    pub labels: Vec<String>,
    pub without_labels: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    pub removed: Vec<String>,
    /// Bytes.
    pub reclaimed: u64,
}
