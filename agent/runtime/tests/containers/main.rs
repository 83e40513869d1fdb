//! Real containers from a busybox bundle, checked on the kernel's own state.
//!
//! Needs root, and a static busybox at `/bin/busybox`.

// The harness is no test function, and fails tests as they do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cgroups;
mod escapes;
mod harness;
mod hooks;
mod launching;
mod lifecycle;
mod mounts;
mod namespaces;
mod process;
