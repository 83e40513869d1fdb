//! Which waiting job starts next, and where: jobs, nodes and accounts in, a plan with its reasons out.
//!
//! - [`Lab`] is what the machines have and what of it is free, device by device; [`Waiting`] and [`Running`] are the jobs.
//! - [`plan`] is one pass: it orders the waiting jobs by priority and fair share, starts what fits, fills gaps with
//!   jobs that delay nobody ahead of them, and names the jobs that give way to more important ones.
//! - [`Plan`] says for each job that waits its place, why it waits and when it is expected to start.
//! - [`Usage`] is what an account has used, halved with time.
//!
//! Nothing here waits, writes or knows the time: the same input gives the same plan, so that a month of a lab is
//! simulated in seconds (`cargo run --release -p hoist-queue --example month`).
//!
//! Moments and spans are in milliseconds. Read `pass` first, then `place`.
#![forbid(unsafe_code)]

mod amount;
mod forecast;
mod job;
mod lab;
mod machine;
mod order;
mod pass;
mod place;
mod policy;
mod preempt;
mod quota;
mod shadow;
mod usage;

pub use amount::{Amount, Room};
pub use job::{Array, Placement, Running, Shape, Spread, Waiting};
pub use lab::{Lab, Node};
pub use machine::{Choice, Machine, Pick, Want};
pub use pass::{Input, Plan, Reason, Start, Stay, plan};
pub use place::{Never, never};
pub use policy::{Booking, Partition, Policy, Preemption};
pub use quota::{Quota, Quotas};
pub use usage::{Account, Usage, Usages};

/// A moment or a span, in milliseconds; moments count from the Unix epoch.
pub type Millis = u64;

/// The end of a job without a time limit: later than any other.
pub const NEVER: Millis = Millis::MAX / 4;

#[cfg(test)]
mod tests;
