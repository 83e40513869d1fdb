//! An OCI bundle becomes a process: namespaces, cgroups, mounts, capabilities, seccomp.
//!
//! This crate is the runtime under the engine and under `hoist oci`. It is synchronous, and it knows
//! nothing of images, networks or names: what a container is, an OCI [`Spec`](oci_spec::runtime::Spec) says.
//!
//! - [`launch`]: a spec and a root file system become a running process in one call; also `exec`.
//! - [`cgroup`]: cgroups on v1, v2 and hybrid hosts: create, limit, measure, freeze, kill, delete.
//! - [`checkpoint`]: a container's processes are written to a directory, and made again from it.
//! - [`seccomp`]: system call filters, compiled here, and the default profile.
//! - [`cli`]: the command line that other engines drive (`hoist oci create|start|…`).
//! - [`inherit`]: descriptors and settings that a process takes over at its very start.
//! - [`supervisor`]: what outlives the daemon: the small process that holds a container's streams and exit code.
//! - [`container`]: containers that are created, started and deleted in separate calls, with their state on disk.
//! - [`guard`]: what every program that links this crate calls first.

pub mod cgroup;
pub mod checkpoint;
pub mod cli;
pub mod container;
mod guard;
mod hooks;
pub mod inherit;
pub mod launch;
mod mounts;
mod process;
mod procfs;
pub mod seccomp;
pub mod supervisor;
mod sys;

pub use container::{Runtime, check_config};
pub use guard::{guard, sealed_self};
