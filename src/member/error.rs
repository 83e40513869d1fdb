//! Why this machine's place in the cluster did not change.

use hoist_link::LinkError;
use hoist_manager::{ManagerError, control::ControlError};

/// Why this machine's place in the cluster did not change, or cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    #[error(
        "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one."
    )]
    Already,
    #[error("This node is not part of a swarm")]
    NotPart,
    #[error("{0}")]
    Invalid(String),
    /// A manager leaves only when it is told twice.
    #[error("{0}")]
    NeedsForce(String),
    /// What other nodes said.
    #[error("{0}")]
    Refused(String),
    #[error(
        "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"docker swarm unlock\" to unlock it."
    )]
    Locked,
    #[error("swarm could not be unlocked: invalid key provided")]
    WrongKey,
    #[error("swarm is not locked")]
    NotLocked,
    #[error("the daemon is stopping")]
    Stopping,
    #[error("the control plane cannot run")]
    Manager(#[from] ManagerError),
    #[error("this node's part of the cluster cannot be set up")]
    Link(#[from] LinkError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("this node's id")]
    Identity(#[from] hoist_agent::IdentityError),
    #[error("{}: {reason}", path.display())]
    File { path: std::path::PathBuf, reason: String },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
