//! What can go wrong between a wish to write and the tables.

use hoist_proto::protocol::Protocol;

use crate::Kind;

/// Why a transaction changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote the record meanwhile, or removed it.
    #[error("{kind} {id} changed meanwhile: read version {read}, found {found}")]
    Conflict { kind: Kind, id: String, read: u64, found: u64 },
    /// Two records of a kind cannot share a name.
    #[error("{kind} {name:?} exists already")]
    NameTaken { kind: Kind, name: String },
    /// The record is not there.
    #[error("no such {kind}: {id}")]
    NotFound { kind: Kind, id: String },
    /// The change was not committed.
    #[error("cannot commit the change")]
    Propose(#[from] ProposeError),
}

/// Why a proposal was not committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No proposer has been given yet, or it has ended.
    #[error("the store is not serving")]
    Stopped,
    /// This node does not lead; another may.
    #[error("this manager is not the leader{}", .leader.as_ref().map(|id| format!(" (manager {id} is)")).unwrap_or_default())]
    NotLeader { leader: Option<u64> },
    /// Leadership was lost while the proposal was under way: it may or may not have been committed.
    #[error("leadership was lost before the change was committed")]
    Dropped,
    /// The log could not be written. Of several managers others may have had it before: it may yet be committed.
    #[error("cannot write the cluster's log: {0}")]
    Storage(String),
    /// The proposal is larger than the log takes.
    #[error("the change is {size} bytes long, and at most {limit} can be written at once")]
    TooLarge { size: usize, limit: usize },
}

/// Bytes that are not a list of changes or a snapshot of this program.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Nothing at all, where a version byte must be.
    #[error("the {what} is empty")]
    Empty { what: &'static str },
    /// Written by a newer program.
    #[error("the {what} has format version {found}, and this program reads up to {known}")]
    Version { what: &'static str, found: u8, known: u8 },
    /// The cluster goes by words that this program does not speak.
    #[error(
        "the {what} is in version {needed} of the cluster's protocol, and this program speaks no more than {spoken}: a newer hoist must run here"
    )]
    Protocol { what: &'static str, needed: Protocol, spoken: Protocol },
    /// Compressed, and cut or changed since.
    #[error("the {what} cannot be decompressed")]
    Damaged {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// Not in the form that its version byte promises.
    #[error("the {what} is malformed")]
    Malformed {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
}
