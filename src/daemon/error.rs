//! Why a daemon did not start.

use std::{io, path::PathBuf};

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another daemon holds one of the directories.
    #[error("another daemon{} is using {root}", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Running { root: PathBuf, pid: Option<i32> },
    /// Not the superuser.
    #[error("the daemon must run as root (its user id is {0})")]
    NotRoot(u32),
    /// `--host` that cannot be listened on.
    #[error("cannot listen on {host:?}: {reason}")]
    Host { host: String, reason: String },
    /// `--group` that does not exist.
    #[error("group {0:?} does not exist")]
    Group(String),
    /// A value of a setting that makes no sense.
    #[error("invalid value {value:?} for --{setting}: {reason}")]
    Setting { setting: &'static str, value: String, reason: String },
    /// The flags, where no file says anything.
    #[error("{0}")]
    Flags(String),
    /// The settings file.
    #[error("settings file {}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    /// A setting that is both typed and in the file.
    #[error(
        "settings file {}: the following directives are specified both as a flag and in the configuration file: {what}",
        path.display()
    )]
    Twice { path: PathBuf, what: String },
    /// Certificates and keys for TCP.
    #[error("TLS: {0}")]
    Tls(String),
    /// A descriptor that was to be inherited is not there.
    #[error("descriptor {0} was to be inherited")]
    Descriptor(i32, #[source] io::Error),
    /// A file or directory; the cause names it.
    #[error("the daemon's files")]
    Files(#[source] io::Error),
    /// Threads, signals.
    #[error("the daemon's threads")]
    Runtime(#[source] io::Error),
    /// A part did not open.
    #[error("{part}")]
    Part {
        part: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl DaemonError {
    /// Wraps the failure of one part, such as `the images`.
    pub fn part<E: std::error::Error + Send + Sync + 'static>(part: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Part { part, source: Box::new(source) }
    }

    /// The whole chain of causes in one line.
    pub fn chain(&self) -> String {
        crate::api::error::chain(self)
    }
}
