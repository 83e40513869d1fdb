//! What goes wrong with volumes.

use std::io;

/// A volume operation that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No volume has this name.
    #[error("no such volume: {0}")]
    NotFound(String),
    /// One of this name exists and is different.
    #[error("volume {0} already exists with other settings")]
    Exists(String),
    /// Containers use it.
    #[error("volume is in use: {name} by container {}", users.join(", "))]
    InUse {
        /// The volume.
        name: String,
        /// Short ids of the containers.
        users: Vec<String>,
    },
    /// A name, option or path that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The volume's file system could not be mounted.
    #[error("volume {name}: cannot mount {device} ({kind})")]
    Mount {
        /// The volume.
        name: String,
        /// What was to be mounted.
        device: String,
        /// The file system.
        kind: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A file; the error names its path.
    #[error(transparent)]
    Io(#[from] io::Error),
}
