//! The `raft` crate driven: a log on disk, a thread that handles what is ready, and a store at its end.
//!
//! - [`Raft::start`] opens the log, replays it into a [`hoist_store::Store`] and becomes the store's
//!   proposer. Proposals that arrive together share one durable write.
//! - [`Log`] keeps entries, hard state, membership and the last snapshot in one `redb` file. Every
//!   record is sealed with the key beside it, because records may hold secrets.
//! - [`Raft::by_hand`] is the same without thread, clock and file, for simulations: a [`Hand`] drives it on a [`Disk`].
//! - [`Transport`] carries messages to other managers; a manager alone needs [`Alone`].
//!
//! It decides nothing about the records themselves. Read `node` for the order in which a `Ready` is
//! handled, and `log` for what is on disk.
#![forbid(unsafe_code)]

mod disk;
mod drain;
mod error;
mod log;
mod node;
mod raft_handle;
mod seal;
mod status;
mod storage;
mod transport;

pub use disk::Disk;
pub use error::{KeyError, LogError, StartError};
pub use log::Log;
pub use node::{ENTRIES_FOR_SLOW_FOLLOWERS, SNAPSHOT_INTERVAL};
pub use raft::eraftpb as messages;
pub use raft_handle::{Begin, Config, Hand, Raft, Simulated, TICK};
pub use status::{Member, Status};
pub use transport::{Alone, Transport};
