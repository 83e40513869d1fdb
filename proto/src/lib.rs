//! The words that Hoist's rooms and nodes say to each other.
//!
//! - [`id`]: one type per kind of identifier, so that a task's id cannot be taken for a service's.
//! - [`unit`]: byte sizes and durations as people write and read them.
//! - [`clock`]: the only door to the wall clock.
//! - [`protocol`]: the version of all this, and what came with which.
//! - [`signal`]: the signals that processes are sent, by name and number.
//! - [`spec`]: what is wanted and what is: containers, services, tasks, networks, volumes, nodes.
//! - [`wire`]: the gRPC messages between managers and agents, generated from `proto/hoist.proto`.
//!
//! There is no logic here: a type may say whether it is well-formed, never what to do about it.
//! Everything is `serde`-able with defaults for missing fields, so that an older record is read
//! by a newer program.
#![forbid(unsafe_code)]

pub mod clock;
pub mod id;
pub mod protocol;
pub mod signal;
pub mod spec;
pub mod unit;
pub mod wire;
