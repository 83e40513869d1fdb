//! File trees: contexts and mounted layers. Finding what a `COPY` means, hashing it, and copying it, always below an
//! open directory that no link leads out of.

mod copy;
mod hash;
mod mode;
mod pattern;
mod root;
mod select;
mod share;
mod users;

pub(crate) use copy::{Destination, copy, make_dirs, write_file, write_inline};
pub(crate) use hash::{FileDigests, NoDigests, digest};
pub(crate) use mode::ModeChange;
pub(crate) use root::{Root, cleaned, names};
pub(crate) use select::{Selection, Wish, select, subtree};
pub(crate) use share::share;
pub(crate) use users::find_owner;
