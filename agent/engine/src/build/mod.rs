//! Builds: the builder of `hoist-build` with this engine's images, networks and processes under it.
//!
//! - `door`: the calls of [`Engine`](crate::Engine).
//! - `worker`: images and layers as the builder wants them. `run`: a command in a container of its own, which is in no
//!   list. `mounts`: what such a command has mounted. `sweep`: what a build leaves whose daemon was killed.
//!   `devices`: what it holds meanwhile.
//! - `caches`: caches elsewhere, and indexes. `emulate`: which platforms' commands can be run.

mod caches;
mod devices;
mod door;
mod emulate;
mod mounts;
mod network;
mod run;
mod ssh;
mod sweep;
mod worker;

pub(crate) use door::open;
pub(crate) use sweep::sweep;
pub(crate) use worker::BuildWorker;
