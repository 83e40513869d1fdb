//! From create to remove.

mod checkpoint;
mod create;
mod devices;
mod end;
mod files;
pub(crate) mod mounts;
mod network;
mod recover;
mod remove;
mod start;
mod stop;
mod update;

pub(crate) use recover::recover;
