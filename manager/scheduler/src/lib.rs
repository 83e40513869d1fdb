//! Which node gets which task: nodes and tasks in, placements and explanations out.
//!
//! - [`Snapshot`] is what the cluster has and what is taken; it is read from the store once and follows it then.
//! - [`Snapshot::place`] gives one task a node and takes what it needs, or says why no node will do. Tasks that ask for
//!   the same share a [`group`], so that each costs the logarithm of the nodes.
//! - [`filter`] holds the conditions; each explains itself in words, and [`Snapshot::explain`] says what every node is
//!   to a task.
//!
//! Nothing here waits, writes or knows the time: the same input gives the same output, so that the
//! scheduler can be simulated, fuzzed and measured alone.
#![forbid(unsafe_code)]

mod constraint;
mod device;
mod explain;
mod filter;
mod group;
mod needs;
mod snapshot;

pub use constraint::{Constraint, InvalidConstraint};
pub use device::{faulty_device, holds_devices, never_met};
pub use explain::{Candidate, Explanation, Refusal};
pub use filter::Unsuitable;
pub use needs::Needs;
pub use snapshot::{NodeState, Placed, Snapshot, fits};

#[cfg(test)]
mod tests;
