//! The daemon's face: the Docker Engine API and Hoist's own, over unix sockets.
//!
//! - [`serve()`] accepts connections and [`version`] takes the version prefix off a path; [`error`] is
//!   every failure as Docker words it; [`params`] and [`body`] read what a request carries.
//! - [`dto`]: the JSON shapes, one file a resource. [`translate`]: between those and the words of
//!   the rooms below, as pure functions.
//! - [`docker`]: the handlers of the Docker Engine API. [`hoist`]: those of `/hoist/v1/`.
//! - `forward`: what only the leader of a cluster can do goes to it. `anywhere`: what is asked of a container that
//!   runs on another node goes there.
//! - [`peers`]: what other nodes may have of this node's images.
//! - [`stream`]: upgraded connections, frames, JSON lines.
//!
//! A handler parses, asks one question of a room below, and answers; nothing is decided here.

mod anywhere;
pub mod body;
pub mod build;
mod buildkit;
mod docker;
pub mod dto;
pub mod error;
mod fold;
mod forward;
mod hoist;
pub mod metrics;
pub mod params;
pub mod peer;
pub mod peers;
mod routes;
mod serve;
mod state;
pub mod stream;
pub mod translate;
pub mod version;

pub use anywhere::Elsewhere;
pub use docker::auth;
pub use docker::images::users as used_by;
pub use error::chain as error_chain;
pub use routes::router;
pub use serve::{Listener, serve, serve_tunnel};
pub use state::{Facts, Parts, SharedFacts, State};
