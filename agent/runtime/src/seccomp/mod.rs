//! System call filters: the default profile, and the compiler from an OCI profile to a BPF program.
//!
//! The compiler is our own because a container's filter is looked at on every system call: it becomes a
//! binary search over ranges of system call numbers instead of a list of comparisons, and it covers what a
//! 64-bit kernel accepts from 32-bit programs as well.

mod compile;
mod load;
mod profile;
mod syscalls;

pub use compile::SeccompError;
pub(crate) use compile::{Filter, compile};
pub(crate) use load::{load, send_listener};
pub use profile::{docker_default, from_docker, native_arch};
