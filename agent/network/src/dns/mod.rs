//! Name service: each container has a name server of its own, which knows the names on the networks
//! that the container is on, and asks others for the rest.
//!
//! The sockets are in the container's namespace ([`socket`]), the work is done by the daemon. When a
//! daemon dies, queries are refused at once until the next one has bound the sockets again, at the
//! same address.

mod answer;
mod directory;
mod forward;
mod server;
pub(crate) mod socket;

pub(crate) use directory::Directory;
pub(crate) use server::{Scope, Server};
