use serde::{Deserialize, Serialize};

use super::container::Hook;
use super::{Extensions, is_default};

/// Rules for `watch` (develop.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Develop {
    /// What is watched and what then happens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<Watch>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// What happens when a watched file changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchAction {
    /// Build the image and replace the containers.
    #[default]
    #[serde(rename = "rebuild")]
    Rebuild,
    /// Copy the files into the containers.
    #[serde(rename = "sync")]
    Sync,
    /// Restart the containers.
    #[serde(rename = "restart")]
    Restart,
    /// Copy, then restart.
    #[serde(rename = "sync+restart")]
    SyncRestart,
    /// Copy, then run a command.
    #[serde(rename = "sync+exec")]
    SyncExec,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// The file or directory that is watched.
    pub path: String,
    /// What happens.
    pub action: WatchAction,
    /// Where in the container files are copied to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The command of `sync+exec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Hook>,
    /// Patterns of files to consider; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Patterns of files to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Whether files are copied once when watching begins.
    #[serde(default, skip_serializing_if = "is_default")]
    pub initial_sync: bool,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}
