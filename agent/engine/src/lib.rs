//! Containers as a person means them: created from an image, started, attached to, looked after, removed.
//!
//! The one door is [`Engine`]. It turns a [`ContainerSpec`](hoist_proto::spec::ContainerSpec) and an image into an
//! OCI spec, has a supervisor of `hoist-runtime` run it, and keeps what is known about it on the disk. It restarts,
//! checks health, writes down exits and tells everybody by events.
//!
//! What it is not: it pulls no image (see [`Engine::images`]), and it knows no service and no cluster.
//!
//! Start reading at `engine.rs` (the door) and `inner.rs` (the parts), then `container/` (one container's record and state) and
//! `lifecycle/` (create, start, stop, remove).
#![forbid(unsafe_code)]

mod attach;
mod build;
mod care;
mod commit;
mod container;
mod copy;
mod defaults;
mod engine;
mod error;
mod events;
mod exec;
mod files;
mod inner;
mod io;
mod lifecycle;
mod logging;
mod logs;
mod metrics;
mod model;
mod observe;
mod query;
mod rootfs;
mod runtimes;
mod secrets;
mod spec;
mod streams;
mod wide;

pub use defaults::ContainerDefaults;
pub use engine::Engine;
pub use error::{EngineError, ErrorKind};
pub use events::{Actor, Event, EventBus, EventSubscription};
pub use inner::EngineOptions;
pub use metrics::{Action, BOUNDS, Histogram, Metrics};
pub use model::*;
pub use runtimes::{OciRuntime, Runtimes};
pub use streams::{Attached, Chunk, Input, LogEntry, LogStream, Output, StreamKind};
pub use wide::{Joining, WideNetworks};

/// What every call answers.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;
