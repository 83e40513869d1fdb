//! Why a request is refused.

use hoist_store::StoreError;

/// A request that was not carried out. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no such project: {0}")]
    NoSuchProject(String),
    #[error("service {0} not found")]
    NoSuchService(String),
    #[error("no such task: {0}")]
    NoSuchTask(String),
    #[error("no such job: {0}")]
    NoSuchJob(String),
    #[error("no such cron: {0}")]
    NoSuchCron(String),
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The project cannot be run; all that is wrong with it, a line each.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// The JSON of a request is not a project.
    #[error("malformed project")]
    Malformed(#[source] serde_json::Error),
    #[error("{0}")]
    Conflict(String),
    /// The request makes no sense, whatever there is.
    #[error("{0}")]
    Refused(String),
    /// Not a network that tasks can be on.
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    #[error("node {0} not found")]
    NoSuchNode(String),
    #[error("{kind} {name} not found")]
    NoSuchFile { kind: &'static str, name: String },
    #[error("{kind} {name} is ambiguous: several ids begin so")]
    Ambiguous { kind: &'static str, name: String },
    /// Somebody else changed the object since the caller read it.
    #[error("update out of sequence: {name} has changed meanwhile; read it again")]
    OutOfSequence { name: String },
    /// What is asked for cannot be done to what is there.
    #[error("{0}")]
    Precondition(String),
    #[error(transparent)]
    Pki(#[from] crate::ca::PkiError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlError {
    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid(vec![what.into()])
    }
}
