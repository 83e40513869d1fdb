//! What is wanted and what is: the objects of the engine and of the cluster.
//!
//! One [`ContainerSpec`] is spoken everywhere: the REST API turns Docker's JSON into it, the control
//! plane turns a compose service into it, an agent hands it to the engine as it is.

mod cluster;
mod container;
mod device;
mod job;
mod network;
mod project;
mod resources;
mod service;
mod task;
mod ulimit;
mod volume;

pub use cluster::*;
pub use container::*;
pub use device::*;
pub use job::*;
pub use network::*;
pub use project::*;
pub use resources::*;
pub use service::*;
pub use task::*;
pub use ulimit::{BadUlimit, Ulimit};
pub use volume::*;
