//! What raft tells of itself.

/// Who leads, as one manager knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// This manager's raft id.
    pub id: u64,
    /// The leader's; 0 while there is none.
    pub leader: u64,
    pub term: u64,
    /// This manager leads, and has applied all that was committed before.
    pub leads: bool,
}

/// A manager as raft sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub id: u64,
    /// Has a vote; one that has none yet is still being filled.
    pub voter: bool,
    /// Was heard of lately. Only the leader knows.
    pub active: bool,
    /// How many committed entries it lacks. Only the leader knows.
    pub behind: u64,
}
