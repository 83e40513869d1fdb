//! Images: from a reference typed by a person to directories that an overlay mount can use.
//!
//! What it holds: references in Docker's grammar, a client for OCI distribution registries, a content store of
//! verified blobs, the records of images and their names, layers unpacked for overlayfs, container snapshots over
//! them, and the archives that go in and out (`load`, `save`, `import`, `export`).
//!
//! What it is not: it starts nothing and mounts nothing that stays; it knows no container beyond an id. The one door
//! is [`Images`]; [`unpack`] and [`archive`] are useful on their own for copying into and out of a container.
//!
//! Start reading at [`Images`], then `store` (what is on the disk) and `images/pull.rs` (how it gets there).

pub mod archive;
mod config;
mod digest;
mod error;
mod images;
mod manifest;
mod overlay;
mod pipeline;
mod platform;
mod progress;
mod reference;
mod registry;
mod store;
pub mod tarball;
pub mod unpack;

/// What outsiders can send, as plain functions: for fuzzing.
#[doc(hidden)]
pub mod fuzz {
    /// A registry's manifest or index.
    pub fn manifest(bytes: &[u8]) {
        let _ = crate::manifest::AnyManifest::parse(bytes, None);
    }

    /// A `WWW-Authenticate` header.
    pub fn challenge(header: &str) {
        crate::registry::parse_challenges(header);
    }

    /// An image's configuration.
    pub fn config(bytes: &[u8]) {
        let _ = serde_json::from_slice::<crate::ImageConfig>(bytes);
    }

    /// An archive's headers.
    pub fn archive(bytes: &[u8]) {
        let mut reader = crate::tarball::TarReader::new(bytes);
        while let Ok(Some(_)) = reader.next_entry() {}
    }
}

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use digest::{Algorithm, Digest, DigestError, Hasher, ImageId};
pub use error::Error;
pub use images::{
    Auth, BuildLayer, BuildOptions, BuiltLayer, BuiltinImage, Change, ChangeKind, CommitOptions, ContainerUse,
    HistoryEntry, Hold, Image, ImageSummary, Images, ImportOptions, LayerArchive, ListFilter, LoadedImage, Options,
    PruneOptions, PruneReport, PullOptions, PullPolicy, PushOptions, Pushed, RemoveOptions, Removed, SaveFormat,
    Snapshot,
};
pub use manifest::{Descriptor, Index, Manifest, media_type};
pub use platform::Platform;
pub use progress::{Phase, Progress, PullEvent};
pub use reference::{Reference, ReferenceError};
