//! The cluster's desired and actual state as replicated tables in memory.
//!
//! - [`Store::view`] reads, [`Store::update`] writes in one transaction, [`Store::watch`] gives a
//!   snapshot and all that changes after it, with no gap between.
//! - A transaction yields a list of [`Change`]s. They go to a [`Proposer`] (Raft, or [`Local`] in
//!   tests) and enter the tables only when they come back committed, through [`Store::apply`].
//! - Every record carries the index of the write that last changed it; a write that is based on an
//!   older one is refused with [`StoreError::Conflict`].
//! - [`encode_snapshot`] and [`Store::restore`] turn the tables into bytes and back.
//!
//! The store knows no network, no disk and no policy. Read [`store`](Store) first, then `table`.
#![forbid(unsafe_code)]

mod batch;
mod change;
mod earlier;
mod error;
mod packed;
mod propose;
mod record;
mod snapshot;
mod store;
mod table;
mod tx;
mod watch;

pub use change::{Change, decode_changes, encode_changes};
pub use error::{DecodeError, ProposeError, StoreError};
pub use propose::{Local, Proposal, Proposer};
pub use record::{Index, Kind, Object, Record};
pub use snapshot::encode_snapshot;
pub use store::{Commits, Store};
pub use table::{Table, Tables};
pub use tx::Tx;
pub use watch::{Commit, Event, Wake, Watch};
