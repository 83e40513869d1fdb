//! What callers give and get: options, images, snapshots.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ImagePeer;
use crate::config::{ContainerConfig, ImageConfig};
use crate::digest::{Digest, ImageId};
use crate::manifest::Descriptor;
use crate::platform::Platform;
use crate::reference::Reference;

/// How the image store behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Registries (`host[:port]`, or networks in CIDR form) that are spoken to in plain HTTP, or TLS without checks.
    /// Loopback addresses are always among them.
    pub insecure_registries: Vec<String>,
    /// Directories with `<host[:port]>/{*.crt,*.cert,*.key}`, as Docker's `/etc/docker/certs.d`.
    pub certs_dirs: Vec<PathBuf>,
    /// Base addresses (`https://mirror.example`) that are asked before docker.io.
    pub mirrors: Vec<String>,
    /// Docker's `config.json` for stored credentials; `None` takes none from there.
    pub auth_file: Option<PathBuf>,
    /// Layers downloaded at once, in all pulls together.
    pub max_downloads: usize,
    /// Layers sent at once, in all pushes together.
    pub max_uploads: usize,
    /// Layers unpacked at once; 0 means one for each processor.
    pub max_unpacks: usize,
    /// How many times an interrupted download goes on before the pull fails.
    pub max_attempts: u32,
    /// Words for the `User-Agent` header.
    pub user_agent: String,
    /// How registries are reached.
    pub proxies: Proxies,
}

/// How registries are reached; what is `None` is taken from the environment's variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://`.
    pub http: Option<String>,
    /// For `https://`.
    pub https: Option<String>,
    /// Hosts that are reached without, with commas between them.
    pub none_for: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            insecure_registries: Vec::new(),
            certs_dirs: vec!["/etc/hoist/certs.d".into(), "/etc/docker/certs.d".into()],
            mirrors: Vec::new(),
            auth_file: None,
            max_downloads: 3,
            max_uploads: 5,
            max_unpacks: 0,
            max_attempts: 5,
            user_agent: concat!("hoist/", env!("CARGO_PKG_VERSION")).into(),
            proxies: Proxies::default(),
        }
    }
}

/// Credentials for a registry.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Auth {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: String,
    /// An OAuth2 refresh token, used instead of a password.
    pub identity_token: Option<String>,
    /// A token that is sent as it is.
    pub registry_token: Option<String>,
}

impl std::fmt::Debug for Auth {
    /// Never shows a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("username", &self.username).finish_non_exhaustive()
    }
}

/// When a pull asks the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// Always: the tag may have moved.
    #[default]
    Always,
    /// Only if the image is not here.
    Missing,
    /// Never: the image is here, or the pull fails.
    Never,
}

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// Which of an index's images; this machine's when `None`.
    pub platform: Option<Platform>,
    /// Credentials; those of [`Options::auth_file`] when `None`.
    pub auth: Option<Auth>,
    /// When to ask the registry.
    pub policy: PullPolicy,
    /// The one image that will do, whatever the name stands for elsewhere.
    pub id: Option<ImageId>,
    /// Machines that may have it, asked before the registry.
    pub peers: Vec<ImagePeer>,
}

/// How to push.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Credentials; those of [`Options::auth_file`] when `None`.
    pub auth: Option<Auth>,
    /// How layers are sent. An index has its layers already as they are sent.
    pub layers: super::LayerForm,
    /// The manifest is put under its digest: the registry gets no tag.
    pub by_digest: bool,
    /// Only the image for this platform, as an image; all that are here when `None`.
    pub platform: Option<Platform>,
}

/// What a push left at the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's size in bytes.
    pub size: u64,
}

/// An image that is here.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of the configuration.
    pub id: ImageId,
    /// Names with tags, as people write them.
    pub repo_tags: Vec<String>,
    /// Names with manifest digests, as people write them.
    pub repo_digests: Vec<String>,
    /// The whole configuration.
    pub config: ImageConfig,
    /// When it was made, if it says so.
    pub created: Option<Timestamp>,
    /// Bytes of all its layers, unpacked.
    pub size: u64,
    /// The layers' uncompressed digests, oldest first.
    pub layers: Vec<Digest>,
    /// The manifest that it came with or was given.
    pub manifest: Descriptor,
    /// When a name last came to it.
    pub last_tagged: Option<Timestamp>,
    /// The image it was committed from.
    pub parent: Option<ImageId>,
    /// The layer directories, top first, as an overlay mount wants them.
    pub layer_dirs: Vec<PathBuf>,
}

/// A line of the list of images.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSummary {
    /// The digest of the configuration.
    pub id: ImageId,
    /// Names with tags.
    pub repo_tags: Vec<String>,
    /// Names with manifest digests.
    pub repo_digests: Vec<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Bytes of all its layers, unpacked.
    pub size: u64,
    /// Of these, bytes in layers that other images use too.
    pub shared_size: u64,
    /// The image it was committed from.
    pub parent: Option<ImageId>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The image itself, and its name's further platforms.
    pub variants: Vec<Variant>,
}

/// What is here of a name for one platform.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// The digest of the configuration.
    pub id: ImageId,
    /// What it is for.
    pub platform: Platform,
    /// Its manifest.
    pub manifest: Descriptor,
    /// Bytes of its manifest, configuration and layers as they were fetched.
    pub content: u64,
    /// Bytes of its layers, unpacked.
    pub unpacked: u64,
}

/// Which images to list; all conditions must hold, any of the values of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only images with no tag (`Some(true)`), or only those with one.
    pub dangling: Option<bool>,
    /// Shell patterns for names, such as `busybox:1.*`.
    pub reference: Vec<String>,
    /// `key` or `key=value`; all must hold.
    pub label: Vec<String>,
    /// Made before this image (name or id).
    pub before: Option<String>,
    /// Made after this image (name or id).
    pub since: Option<String>,
    /// Made before this time.
    pub until: Option<Timestamp>,
}

/// What to leave out of `remove`.
#[derive(Debug, Clone, Default)]
pub struct RemoveOptions {
    /// Also if stopped containers use it or several names point to it.
    pub force: bool,
    /// Keep untagged parents.
    pub no_prune: bool,
    /// Only what the name stands for on these platforms; all of it when there are none.
    pub platforms: Vec<Platform>,
    /// The containers there are.
    pub used_by: Vec<ContainerUse>,
}

/// A container as far as images are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUse {
    /// The container's id.
    pub container: String,
    /// Its image.
    pub image: ImageId,
    /// The name its image was asked for by.
    pub image_name: String,
    /// Whether it runs.
    pub running: bool,
}

/// What a removal did, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name was taken away from an image.
    Untagged { name: String, image: ImageId },
    /// An image was deleted.
    Deleted(String),
    /// A layer was deleted that only that image had.
    Layer(String),
}

/// What to prune.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// Also images with names that no container uses.
    pub all: bool,
    /// Only images with these labels (`key`, `key=value`); all must hold.
    pub label: Vec<String>,
    /// Only images without these labels.
    pub label_not: Vec<String>,
    /// Only images made before this time.
    pub until: Option<Timestamp>,
    /// The containers there are.
    pub used_by: Vec<ContainerUse>,
}

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// In order.
    pub removed: Vec<Removed>,
    /// Bytes that are free now.
    pub reclaimed: u64,
}

/// A line of an image's history, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The image's id on the newest line, `None` (`<missing>`) on the others.
    pub id: Option<ImageId>,
    /// When.
    pub created: Option<Timestamp>,
    /// By which command.
    pub created_by: String,
    /// Names, on the newest line.
    pub tags: Vec<String>,
    /// Bytes the layer holds, unpacked.
    pub size: u64,
    /// What was said about it.
    pub comment: String,
}

/// The form of a saved archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SaveFormat {
    /// Docker's `manifest.json` inside an OCI layout: what both families of tools read.
    #[default]
    Docker,
    /// An OCI image layout and nothing else.
    Oci,
}

/// One image found in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedImage {
    /// Its id.
    pub id: ImageId,
    /// The names that it got.
    pub names: Vec<String>,
}

/// How to make an image of a file tree.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The name it gets.
    pub reference: Option<Reference>,
    /// Dockerfile instructions (`CMD ["sh"]`, `ENV a=b`, …).
    pub changes: Vec<String>,
    /// The comment in its history.
    pub message: Option<String>,
    /// The platform it is for; this machine's when `None`.
    pub platform: Option<Platform>,
}

/// How to make an image of a container.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// The name it gets.
    pub reference: Option<Reference>,
    /// Who made it.
    pub author: Option<String>,
    /// The comment in its history.
    pub comment: Option<String>,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// The container's configuration, which the image takes over.
    pub config: Option<ContainerConfig>,
}

/// An image that is compiled into the program: one layer and a configuration.
#[derive(Debug, Clone)]
pub struct BuiltinImage {
    /// Its name, such as `hoist/hello:latest`.
    pub reference: Reference,
    /// The layer, an uncompressed tar archive.
    pub layer: Vec<u8>,
    /// How to run it.
    pub config: ContainerConfig,
}

/// A container's own directories over an image's layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The image's layer directories, top first; empty for an image without layers.
    pub lower: Vec<PathBuf>,
    /// The container's own files.
    pub upper: PathBuf,
    /// Overlay's work directory.
    pub work: PathBuf,
}

/// What happened to a path since the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChangeKind {
    /// `C`, 0
    Modified,
    /// `A`, 1
    Added,
    /// `D`, 2
    Deleted,
}

/// A path of a container that differs from its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute, inside the container. May be no UTF-8 on the disk; shown lossily.
    pub path: String,
    /// What happened.
    pub kind: ChangeKind,
}

/// One line of a registry's search.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// The repository's name.
    pub name: String,
    /// What its owner says of it.
    pub description: String,
    /// How many people like it.
    pub star_count: i64,
    /// Whether the registry vouches for it.
    pub is_official: bool,
}
