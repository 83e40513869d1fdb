//! Results that are known: which step made which layers, and the digests of files that were read before.
//!
//! One database holds it, so that it survives restarts. A step's record names all layers of its tree above the base
//! image, so that a hit needs no other record. Nobody waits for the disk: see [`behind`].

mod behind;
mod collect;
mod store;

pub(crate) use collect::choose;
pub(crate) use store::{Cache, Lease, Record, now};
