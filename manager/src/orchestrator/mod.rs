//! Desired against actual: from services to tasks.
//!
//! [`decide`] is a pure function from the tables to [`Step`]s, one service at a time, each step with
//! its cause; it prints as text. The loop in `run` calls it for the services that something happened
//! to, inside the transaction that carries the steps out.

mod decide;
mod dependency;
mod instance;
mod job;
mod reaper;
mod rebalance;
mod restart;
mod run;
mod slot;
mod step;
mod update;

pub(crate) use decide::decide;
pub(crate) use dependency::{Condition, dependency_state, waited_for};
pub(crate) use instance::{container_name, new_task};
#[cfg(test)]
pub(crate) use rebalance::by_policy;
pub(crate) use rebalance::{rebalance, run as rebalancing};
pub(crate) use restart::{Verdict, verdict};
#[cfg(test)]
pub(crate) use run::pass_over_all;
pub(crate) use run::run;

pub(crate) use step::{Decision, Step};

#[cfg(test)]
mod tests;
