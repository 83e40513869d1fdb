//! Why the daemon could not be asked, or what it answered instead.

use std::{io, path::PathBuf};

/// Why the daemon could not be asked, or what it answered instead.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// `-H` or `HOIST_HOST` that names no place.
    #[error("invalid host {host:?}: {reason}")]
    Host { host: String, reason: String },
    /// A file for TLS that cannot be used.
    #[error("TLS: {}: {reason}", path.display())]
    Tls { path: PathBuf, reason: String },
    /// Nobody answers.
    #[error("cannot connect to the daemon at {host}")]
    Connect {
        host: String,
        #[source]
        source: io::Error,
    },
    /// None runs and it takes root to start one.
    #[error("the daemon is not running, and starting it takes root")]
    StartNeedsRoot,
    /// Starting it failed; the text is the daemon's own.
    #[error("the daemon did not start: {reason}")]
    Start { reason: String, log: PathBuf },
    /// The connection broke in the middle.
    #[error("the connection to the daemon broke")]
    Broken(#[source] hyper::Error),
    /// It closed the connection without finishing its answer.
    #[error("the daemon closed the connection before the answer was complete")]
    Closed,
    /// What arrived is not what the API promises.
    #[error("the daemon's answer to {what} is not understood")]
    Answer {
        what: String,
        #[source]
        source: serde_json::Error,
    },
    /// The daemon refuses; its own words.
    #[error("{message}")]
    Refused { status: u16, message: String },
}

impl ClientError {
    /// The status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// What to try.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                vec!["run this as root, or join the group that may use the socket (hoist, or docker)".to_owned()]
            }
            Self::Connect { source, .. }
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                vec![
                    "is the daemon running? a daemon named by -H, HOIST_HOST or DOCKER_HOST is not started by itself"
                        .to_owned(),
                ]
            }
            Self::StartNeedsRoot => {
                vec!["start it once with: sudo hoist daemon, or run this command as root".to_owned()]
            }
            Self::Start { log, .. } => vec![format!("its log is {}", log.display())],
            _ => Vec::new(),
        }
    }
}
