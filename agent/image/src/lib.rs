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
mod quota;
mod reference;
mod registry;
mod store;
pub mod tarball;
pub mod unpack;

/// What outsiders can send, as plain functions: for fuzzing.
#[doc(hidden)]
pub mod fuzz {
    /// A registry's manifest or index; what is understood can be chosen from, and written and read again.
    pub fn manifest(bytes: &[u8]) {
        use crate::manifest::AnyManifest;
        match AnyManifest::parse(bytes, None) {
            Ok(AnyManifest::Index(index)) => {
                let _ = (index.choose(&crate::Platform::host()), index.platforms());
                let written = serde_json::to_vec(&index).expect("an index can be written");
                assert_eq!(serde_json::from_slice::<crate::Index>(&written).expect("and read"), index);
            }
            Ok(AnyManifest::Image(manifest)) => {
                let written = serde_json::to_vec(&manifest).expect("a manifest can be written");
                assert_eq!(serde_json::from_slice::<crate::Manifest>(&written).expect("and read"), *manifest);
            }
            Err(error) => drop(error.to_string()),
        }
    }

    /// A registry's answer: as the text of a `WWW-Authenticate` header, a token, and an error document.
    pub fn answer(bytes: &[u8]) {
        crate::registry::parse_challenges(&String::from_utf8_lossy(bytes));
        if let Ok((token, life)) = crate::registry::read_token(bytes) {
            assert!(!token.is_empty() && life.as_secs() >= 10 && life.as_secs() < 24 * 3600);
        }
        if let Some(text) = crate::registry::error_text(bytes) {
            assert!(!text.is_empty() && !text.contains(char::is_control));
        }
    }

    /// An image's configuration.
    pub fn config(bytes: &[u8]) {
        if let Ok(config) = serde_json::from_slice::<crate::ImageConfig>(bytes) {
            let _ = (config.platform(), config.created_at());
            let written = serde_json::to_vec(&config).expect("a configuration can be written");
            serde_json::from_slice::<crate::ImageConfig>(&written).expect("and read again");
        }
    }
}

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use digest::{Algorithm, Digest, DigestError, Hasher, ImageId};
pub use error::Error;
pub use images::{
    Attestation, Auth, BuildLayer, BuildOptions, BuiltLayer, BuiltinImage, CacheManifest, CachePlace, Change,
    ChangeKind, CommitOptions, ContainerUse, Found, HistoryEntry, Hold, Image, ImagePeer, ImageSummary, Images,
    ImportOptions, IndexForm, IndexImage, LayerArchive, LayerCompression, LayerForm, ListFilter, LoadedImage, Options,
    PeerBlob, PeerManifest, Proxies, PruneOptions, PruneReport, PullOptions, PullPolicy, PushOptions, Pushed,
    RemoveOptions, Removed, SaveFormat, Snapshot, Variant,
};
pub use manifest::{AnyManifest, Descriptor, Index, Manifest, media_type};
pub use pipeline::decompress;
pub use platform::{Platform, PlatformError};
pub use progress::{Phase, Progress, PullEvent};
pub use reference::{Reference, ReferenceError};
pub use registry::{Remote, RemoteManifest};
pub use store::keep_apart;
