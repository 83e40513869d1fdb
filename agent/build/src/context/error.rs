//! Why a context cannot be sent or received.

use std::path::{Path, PathBuf};

/// Why a context cannot be sent or received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    #[error("cannot {action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Something in a context that no build can use.
    #[error("{path} is {what}, which a build context cannot hold; exclude it in .dockerignore")]
    Kind { path: PathBuf, what: &'static str },
    /// Somebody writes in the directory while it is read.
    #[error(
        "{path} changed while the context was sent: {how}; build again when nothing writes it, or exclude it in .dockerignore"
    )]
    Changed { path: PathBuf, how: &'static str },
    /// The other side went away.
    #[error("the client stopped sending its context before its end, at {0}")]
    Cut(String),
    /// A list of files that contradicts itself: only a broken client sends one.
    #[error("the list of files is wrong: {0}")]
    Manifest(String),
    #[error("the files that were sent do not fit the list: {0}")]
    Stream(String),
}

impl ContextError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
