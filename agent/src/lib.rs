//! The node's worker: takes tasks from a dispatcher and makes them real with the local engine.
//!
//! - [`Agent`] holds a session with a dispatcher, over any transport, and comes back when it breaks.
//! - What it was told is kept on the disk, so that its tasks go on while no manager answers.
//! - Each task is driven by a loop of its own, one step at a time: prepare, start, watch, shut down,
//!   remove. An event of the engine only says "look again": what is, is read from the engine.
//! - [`local`] connects an agent and a dispatcher that live in one process.
//!
//! It decides nothing: what should run is the manager's word. Read `task/` for how a task goes.
#![forbid(unsafe_code)]

mod agent;
mod attach;
mod describe;
mod dispatchers;
mod identity;
mod images;
pub mod local;
mod overlay;
mod progress;
mod report;
mod resources;
mod session;
mod task;
mod wide;
mod worker;

pub use agent::{Agent, AgentConfig};
pub use dispatchers::{Dispatchers, One};
pub use identity::{IdentityError, forget_cluster, node_id, set_node_id};
pub use images::{ImageNodes, NoNodes};
