//! What can be wrong with the log, its key, and a start.

use std::path::PathBuf;

use hoist_store::DecodeError;

/// Why the log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{} is in use by another daemon", .path.display())]
    InUse { path: PathBuf },
    /// What is on disk is not what was written: the disk, or somebody, changed it.
    #[error("the cluster's log {} is damaged: {what}", .path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the cluster's log {} cannot be {doing}", .path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        #[source]
        source: Box<redb::Error>,
    },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    File(#[from] std::io::Error),
}

/// Why the key that seals the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the log {} has records, and its key {} is missing", .log.display(), .key.display())]
    Missing { key: PathBuf, log: PathBuf },
    #[error("the key {} can be read by others (mode {mode:o}): its mode must be 600", .path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the key {} is {found} bytes long, not {wanted}", .path.display())]
    Length { path: PathBuf, found: usize, wanted: usize },
    #[error(transparent)]
    File(#[from] std::io::Error),
}

/// Why Raft does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the raft state machine refuses what the log holds")]
    Raft(#[source] raft::Error),
    #[error("the cluster's log holds what this program cannot read")]
    Decode(#[from] DecodeError),
    #[error("cannot start the thread that runs raft")]
    Thread(#[source] std::io::Error),
    #[error("this manager's log is empty: there is nothing to make a cluster of")]
    Empty,
    #[error("raft ended before it was ready")]
    Ended,
}
