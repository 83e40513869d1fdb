//! What clients may ask of the control plane.
//!
//! [`Control`] is the door. A question about a project is first turned into records ([`convert`]), the
//! difference to what is there is planned (a pure function that prints itself), written in one
//! transaction, and watched until an honest end.

mod census;
mod cluster;
pub(crate) mod convert;
mod crons;
mod devices;
mod door;
mod error;
mod files;
mod images;
mod jobs;
mod networks;
mod nodes;
mod operations;
pub(crate) mod plan;
mod query;
mod services;
mod watch;

pub use census::Census;
pub(crate) use cluster::drop_managers_but;
pub use cluster::{Opened, Tokens};
pub use convert::{OneOff, one_off};
pub use door::{Control, EventStream};
pub use error::ControlError;
pub(crate) use files::REPLACED;
pub use files::{FileChange, StoredFile};
pub use hoist_scheduler::Explanation;
pub use images::{ImageSource, NoImages, Wanted};
pub(crate) use jobs::make_jobs;
pub use jobs::{Started, ends_by};
pub use services::{RegistryAuthFrom, ServiceChange};
