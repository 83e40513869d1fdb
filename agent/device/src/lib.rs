//! Devices of one machine: which there are, who holds them, and what a container that gets one must see.
//!
//! Devices come from four places: CDI specifications, the node's own settings, the NVIDIA driver's library and sysfs.
//! Whatever the place, a device is a name within a kind (`vendor.com/class`) and a set of CDI edits; so a container is
//! given a GPU of any vendor, a line of a CDI file or a plain counter in one way.
//!
//! What it is not: it starts no container and keeps no file. Who holds what is told to it again when an engine opens.
//!
//! What devices do, and whether something is wrong with them, is looked at by whoever calls [`Devices::look`] over and
//! over (`measure/`).
//!
//! The one door is [`Devices`]. Start reading at `inventory/` (what there is), then hoist-choice (which ones a
//! request gets: a pure function) and `cdi/` (what is read and how it is applied).
#![deny(unsafe_code)]

pub mod cdi;
mod char_links;
mod devices;
mod error;
mod grant;
mod inventory;
mod measure;
mod pattern;

pub use hoist_choice::{Hold, Request, Share};
pub use hoist_proto::spec::AssignedDevice as Assigned;

pub use devices::{Devices, Grant, Options};
pub use error::DeviceError;
pub use inventory::{Declared, DeclaredNode, Device, Facts, Inventory, Kind, Source, parse_generic};
pub use measure::{MEASURE_EVERY, Measured};
pub use pattern::Named;

/// What every call answers.
pub type Result<T, E = DeviceError> = std::result::Result<T, E>;
