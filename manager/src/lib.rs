//! The control plane: what people want becomes services, services become tasks, tasks get nodes.
//!
//! - [`Manager`] starts the loops and hands out the doors to them.
//! - [`control`] is what clients may ask: validate, plan the change, write it, and tell how it goes.
//! - `orchestrator`, `allocator` and `scheduler` are loops that share only the store: each reads it,
//!   decides, and writes in one transaction. None of them calls another.
//! - [`dispatcher`] speaks with agents: sessions, assignments, statuses, progress.
//!
//! It runs no container and pulls no image: agents do.
#![forbid(unsafe_code)]

mod allocator;
pub mod control;
pub mod dispatcher;
mod hash;
mod manager;
mod orchestrator;
mod patience;
mod progress;
mod queue;
mod scheduler;
#[cfg(test)]
mod testing;

pub use manager::{Manager, ManagerConfig, ManagerError};
pub use progress::{Progress, ProgressEvent};
