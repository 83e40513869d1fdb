//! Connections that become something else than requests and answers.
//!
//! - [`connection`]: a client's connection, which also understands the older form of an upgrade.
//! - [`frames`]: the eight-byte headers that tell standard output from standard error.
//! - [`hijack`]: a request's connection taken over. [`pump`]: bytes between it and a process.
//! - [`alive`], [`gone`]: answers that may be silent for long, and clients that leave meanwhile. [`detach`]: the keys that end an attachment. [`progress`]: pulls and pushes as JSON lines.

pub mod alive;
pub mod connection;
pub mod detach;
pub mod frames;
pub mod gone;
pub mod hijack;
pub mod progress;
pub mod pump;

use super::version::ApiVersion;

/// What a stream of output is called: framed, or a terminal's bytes as they are.
pub fn content_type(tty: bool, version: ApiVersion) -> &'static str {
    if !tty && version >= ApiVersion(1, 42) {
        "application/vnd.docker.multiplexed-stream"
    } else {
        "application/vnd.docker.raw-stream"
    }
}
