//! Hoist's own API under `/hoist/v1/`.
//!
//! - [`projects`]: compose projects, planned and brought up and down by the control plane; tasks.
//! - [`build`]: contexts as what changed, builds as lines, their results.
//! - [`run`] and [`exec`]: what takes Docker's clients several requests, on one connection.

pub mod build;
pub mod exec;
pub mod projects;
pub mod run;
mod session;
