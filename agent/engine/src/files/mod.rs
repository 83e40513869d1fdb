//! Files of a container from outside: copied in and out, told about, exported.
//!
//! [`root`] opens what the container sees; every path is then resolved by the kernel below that descriptor, so that
//! no link of the container leads out of it.

mod changes;
mod copy;
mod root;

pub(crate) use changes::own;
pub(crate) use copy::{copy_from, copy_to, export, stat_path};
pub(crate) use root::Place;
