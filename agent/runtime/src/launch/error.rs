//! Why a container's process could not be started.

use std::io;

/// Why a process could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The spec asks for what does not exist or contradicts itself.
    #[error("{0}")]
    Invalid(String),
    /// A step failed; `what` says what was tried, and on which thing.
    #[error("{what}")]
    Step {
        /// What was tried, and on which thing.
        what: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The command does not exist in the container.
    #[error("exec {command}: not found in the container")]
    NotFound {
        /// The command as given, or where it was looked for.
        command: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The command exists and cannot be executed.
    #[error("exec {command}: cannot be executed")]
    NotExecutable {
        /// The command as given, or where it was found.
        command: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A hook failed.
    #[error("{0}")]
    Hook(String),
    /// Another OCI runtime did not do it.
    #[error("{runtime}: {message}")]
    Runtime {
        /// Its name.
        runtime: String,
        /// Its own words.
        message: String,
        /// What they mean: 125, 126 or 127.
        exit_code: i32,
    },
}

impl LaunchError {
    /// The exit code that a command line returns for this error: 127 if the command was not found, 126
    /// if it could not be executed, else 125.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
            Self::Runtime { exit_code, .. } => *exit_code,
            _ => 125,
        }
    }
}
