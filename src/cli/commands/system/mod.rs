//! Commands on the daemon as a whole, and on objects of any kind.

pub mod df;
mod df_verbose;
pub mod dial_stdio;
pub mod events;
pub mod info;
pub mod inspect;
pub mod prune;
pub mod version;
