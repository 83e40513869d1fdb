//! Processes written to a directory, and made again from it, by the program `criu`.
//!
//! CRIU looks into the processes of a container from outside ([`dump`]) and puts them together again (`restore`, which
//! a supervisor calls instead of launching a command). What is not theirs alone is named to it: the network namespace,
//! the mounts whose source is on the host, and the pipes to the supervisor. A manifest beside CRIU's own files says
//! which those were. Files of the container's writable layer are not among them: they stay where they are.
//!
//! - `criu`: finding the program, running it, and reading from its log why it failed.
//! - `externals`: which mounts are named.
//! - `manifest`: what is kept beside CRIU's images.
//! - `cuda`: processes with a context on an NVIDIA GPU.

mod criu;
mod cuda;
mod dump;
mod externals;
mod manifest;
mod restore;

use std::io;
use std::path::PathBuf;

pub use criu::Criu;
pub use dump::{Dump, dump};
pub use manifest::is_checkpoint;
pub(crate) use restore::{Restore, restore};

/// Why processes could not be written down, or made again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// There is no such program.
    #[error("checkpoints need the program criu, which is not on the PATH: install it (Debian, Ubuntu, Fedora: criu)")]
    Missing,
    /// The program does not work with this kernel.
    #[error("criu does not work with this kernel: {0}; a newer criu may (see `criu check`)")]
    Unfit(String),
    /// What CRIU, or we with it, cannot do.
    #[error("{0}")]
    Unsupported(String),
    /// The program failed; its own words, and where the rest of them are.
    #[error("criu {verb}: {reason} (all of its words: {})", log.display())]
    Failed {
        /// `dump` or `restore`.
        verb: &'static str,
        /// The line of its log that says why.
        reason: String,
        /// The log.
        log: PathBuf,
    },
    /// A file, or a step beside CRIU.
    #[error("{what}")]
    Io {
        /// What was tried, and on which thing.
        what: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> CheckpointError {
    let what = what.into();
    move |source| CheckpointError::Io { what, source }
}
