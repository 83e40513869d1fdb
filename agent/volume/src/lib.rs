//! Volumes: directories that outlive containers, by name.
//!
//! What it holds: the records of volumes (`<data_root>/volumes/<name>/volume.json`), their directories (`_data`), who
//! uses them, and the `local` driver's mounts (`type`, `o`, `device`), made with mount(2) when the first user comes
//! and undone when the last one goes. What it is not: it knows no container beyond an id, and it copies no files.
//!
//! The one door is [`Volumes`].
#![forbid(unsafe_code)]

mod error;
mod local;
mod model;
mod volumes;

pub use error::Error;
pub use model::{PruneOptions, PruneReport, Volume};
pub use volumes::{Volumes, subpath};
