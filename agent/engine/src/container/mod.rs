//! One container as the engine holds it: what is on the disk, and what is going on.

mod effective;
mod handle;
mod persist;
mod record;
mod registry;

pub(crate) use effective::{effective, signal_number, stop_signal};
pub(crate) use handle::{Cell, Handle};
pub(crate) use persist::{read_json, write_json};
pub(crate) use record::{PlannedMount, Record, VERSION as RECORD_VERSION};
pub(crate) use registry::Registry;
