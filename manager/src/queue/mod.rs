//! Jobs that wait for their turn: what is decided about them is in the crate `hoist-queue`, and here is the loop that
//! reads the tables for it and writes what it decides.
//!
//! A job that starts becomes a service of mode `replicated-job` whose tasks have their nodes from the start, all in one
//! transaction: it is started once or not at all, whenever a manager dies.
//!
//! - `view` turns the tables into the input of a pass.
//! - `machines` is the devices of nodes and the requests for them.
//! - `settle` sees how jobs that run have ended, and ends those whose time is up.
//! - `begin` makes the service and the tasks of a job that starts.
//! - `checkpoint` has jobs that must wait again go on where they were.
//! - `account` counts what was used; `uses` is what agents say of that, and `idle` ends jobs that use nothing.
//! - `cron` is schedules, and `recur` makes the jobs that come again and again.
//! - `run` is the loop.

mod account;
mod begin;
mod checkpoint;
mod cron;
mod idle;
mod machines;
mod recur;
mod run;
mod settle;
#[cfg(test)]
mod tests;
mod uses;
mod view;

pub(crate) use account::usage_of;
pub(crate) use recur::read as read_schedule;
#[cfg(test)]
pub(crate) use run::pass;
pub(crate) use run::run;
pub(crate) use settle::{drop_service, end};
pub(crate) use uses::Uses;
pub(crate) use view::View;
