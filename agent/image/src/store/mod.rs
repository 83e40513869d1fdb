//! What is on the disk: verified blobs, the records of images and layers, and layer directories.
//!
//! `blobs/sha256/<hex>` holds whole blobs, `blobs/partial/` those that are still arriving; `images/state.json` says
//! which images and layers there are; `snapshots/l/<name>/` holds layers and `snapshots/c/<id>/` containers;
//! `snapshots/held/<name>` says that a build needs a layer directory that may be no image's. The records
//! decide: a blob or directory that they do not know is a leftover and never believed.

mod apart;
mod blobs;
mod durable;
mod held;
mod layers;
mod pins;
mod platforms;
mod state;

pub use apart::keep_apart;
pub(crate) use blobs::{BlobWriter, Blobs, MAX_DOCUMENT, Partial};
pub(crate) use durable::{Epoch, sync_file_system};
pub(crate) use layers::{LayerDirs, NewLayer, chain_ids};
pub(crate) use pins::{Pin, Pins};
pub(crate) use platforms::Origin;
pub(crate) use state::{ImageRecord, IndexMember, IndexRecord, LayerRecord, State, StateFile};
