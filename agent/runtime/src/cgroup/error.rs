//! What goes wrong with cgroups.

use std::io;

/// Why an operation on a cgroup failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// A file could not be read or written.
    #[error("{what}")]
    Io {
        /// The file, and for a write the value.
        what: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The path leads outside of the hierarchy or is empty.
    #[error("invalid cgroup path {0:?}")]
    Path(String),
    /// A limit was asked for that this host's kernel has no controller for.
    #[error("{what} cannot be set: this host has no {controller} cgroup controller")]
    NoController {
        /// The limit.
        what: &'static str,
        /// The controller that would be needed.
        controller: &'static str,
    },
    /// A value that the kernel interface cannot express.
    #[error("{what} is invalid: {why}")]
    Value {
        /// The limit.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl CgroupError {
    /// Whether the cgroup, or a file of it, is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
