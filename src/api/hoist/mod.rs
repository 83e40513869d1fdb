//! Hoist's own API under `/hoist/v1/`.
//!
//! - [`projects`]: compose projects, planned and brought up and down by the control plane; tasks.
//! - [`build`]: contexts as what changed, builds as lines, their results.
//! - [`connect`]: connections to ports in containers.
//! - [`devices`]: what there is, what it does, who holds it, and what is set aside.
//! - [`jobs`]: jobs, the queue's rules, and what was used.
//! - [`snapshot`]: the whole state of the cluster, saved and restored.
//! - [`run`] and [`exec`]: what takes Docker's clients several requests, on one connection.

pub mod build;
pub mod connect;
pub mod devices;
pub mod exec;
pub mod jobs;
pub mod projects;
pub mod run;
mod session;
pub mod snapshot;
