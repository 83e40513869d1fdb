//! Between the API's JSON shapes and the words of the rooms below: pure functions, both ways.
//!
//! [`create`] turns the body of `POST /containers/create` into a [`ContainerSpec`] and refuses by name
//! what is not supported; [`back`] writes a spec as Docker's inspect shows it.
//!
//! [`ContainerSpec`]: hoist_proto::spec::ContainerSpec

pub mod back;
pub mod create;
mod host;
pub mod inspect;
mod mounts;
pub mod networks;
mod ports;
mod resources;
mod security;
pub mod service;
pub mod service_back;
mod service_container;
pub mod swarm;
pub mod task;
pub mod time;

pub use resources::{restart_policy, update_limits};
