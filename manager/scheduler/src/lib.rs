//! Which node gets which task: nodes and tasks in, placements and explanations out.
//!
//! - [`Snapshot`] is what the cluster has and what is taken, as of one reading of the store.
//! - [`Snapshot::place`] gives one task a node and takes what it needs, or says why no node will do.
//! - [`filter`] holds the conditions; each explains itself in words.
//!
//! Nothing here waits, writes or knows the time: the same input gives the same output, so that the
//! scheduler can be simulated, fuzzed and measured alone.
#![forbid(unsafe_code)]

mod constraint;
mod filter;
mod snapshot;
mod spread;

pub use constraint::{Constraint, InvalidConstraint};
pub use filter::Unsuitable;
pub use snapshot::{NodeState, Snapshot};

#[cfg(test)]
mod tests;
