//! How messages reach other managers.

use raft::eraftpb::Message;

/// Carries raft's messages. Losing one is allowed; blocking is not, for the raft thread calls it.
pub trait Transport: Send + 'static {
    /// Sends each message to the manager that its `to` names.
    fn send(&mut self, messages: Vec<Message>);
}

/// For a manager that has no peers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Transport for Alone {
    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            tracing::warn!(to = message.to, "a raft message for a peer, and no transport");
        }
    }
}
