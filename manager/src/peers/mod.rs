//! How managers reach each other: raft's messages over gRPC, and who lives where.

mod addresses;
mod client;
mod server;

pub(crate) use addresses::managers;
pub(crate) use client::Peers;
pub(crate) use server::RaftService;

/// Messages that wait for a peer; raft sends again what is lost.
const QUEUE: usize = 4096;
/// Bytes of one batch or one part of a snapshot.
const PART: usize = 1 << 20;
/// No message is longer, but for a snapshot.
const MAX_MESSAGE: usize = 64 << 20;
/// No snapshot is longer.
const MAX_SNAPSHOT: usize = 4 << 30;
