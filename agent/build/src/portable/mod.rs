//! Caches that travel: what this machine's cache knows of a build, written where other machines find it, and read again.
//!
//! A step's key says what it does and what it reads, and nothing of the machine; so a key that another machine wrote
//! down means the same here. A [`document`] lists steps by key with their layers; [`import`] answers from documents what
//! the own cache does not know; [`export`] writes them.

mod document;
mod export;
mod import;
mod place;

pub(crate) use document::INLINE;
pub(crate) use export::{carry_out, inline};
pub(crate) use import::Imports;
pub(crate) use place::{Target, Targets, sources, targets};
