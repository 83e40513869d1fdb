//! Build contexts on their way from a client's disk to a directory on this machine, sending only what changed.
//!
//! The client walks its directory ([`walk`]) and sends a [`Manifest`]: what is there, with a stamp for each file's
//! content. The [`ContextStore`] keeps, for each client's directory, the tree that it received last; it answers which
//! files it lacks, takes them ([`Incoming::receive`]), and lends the tree to a build ([`Lease`]). A tree is lent to
//! several builds at once only if all of them see the same; it never changes while it is lent.

mod error;
mod manifest;
mod store;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

pub use error::ContextError;
pub use manifest::{Entry, EntryKind, Manifest};
pub use store::{ContextStore, Incoming, Lease};
pub use walk::{walk, write_files};
