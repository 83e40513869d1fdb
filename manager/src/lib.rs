//! The control plane: what people want becomes services, services become tasks, tasks get nodes.
//!
//! - [`Manager`] starts the loops and hands out the doors to them.
//! - [`control`] is what clients may ask: validate, plan the change, write it, and tell how it goes.
//! - `orchestrator`, `allocator` and `scheduler` are loops that share only the store: each reads it,
//!   decides, and writes in one transaction. None of them calls another.
//! - `peers`, `leader` and `members` make several managers one: raft's messages, who leads, who has a vote. `agreement` is
//!   what they may say to each other while some of them are of an older program.
//! - [`ca`] lets nodes in and gives them certificates.
//! - [`dispatcher`] speaks with agents: sessions, assignments, statuses, progress.
//!
//! It runs no container and pulls no image: agents do.
#![forbid(unsafe_code)]

mod agreement;
mod allocator;
pub mod ca;
mod caller;
pub mod control;
pub mod dispatcher;
mod hash;
mod leader;
mod manager;
mod members;
mod orchestrator;
mod patience;
mod peers;
mod progress;
mod queue;
mod saved;
mod scheduler;
#[cfg(test)]
mod testing;

pub use hoist_raft::Status as RaftStatus;
pub use leader::{LEADER_ADDRESS, LEADER_NODE, Leadership};
pub use manager::{Manager, ManagerConfig, ManagerError, Membership};
pub use progress::{Progress, ProgressEvent};
pub use saved::Saved;
