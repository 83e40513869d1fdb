//! What the builder needs of an engine: images, layers, mounts and processes.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use hoist_proto::spec::{Resources, Ulimit};
use tokio_util::sync::CancellationToken;

use crate::{Attestation, BuildError, Credentials, LayerForm, NetworkChoice, Push, Secret, Stream};

/// An image that a stage begins with.
#[derive(Clone)]
pub struct BaseImage {
    /// The digest of its configuration.
    pub id: String,
    /// `docker.io/library/alpine:3.20@sha256:…`, for progress.
    pub name: String,
    /// Digests of its uncompressed layers, oldest first.
    pub diff_ids: Vec<String>,
    /// Its layers' directories, top first, in overlayfs' format.
    pub dirs: Vec<PathBuf>,
    /// The configuration blob.
    pub config: Vec<u8>,
    /// Keeps its layers while it lives.
    pub hold: Arc<dyn Any + Send + Sync>,
}

/// Which image, and from where.
#[derive(Debug, Clone)]
pub struct ImageRequest {
    /// As the Dockerfile has it.
    pub reference: String,
    /// `os/arch[/variant]`; this machine's when `None`.
    pub platform: Option<String>,
    /// Asks the registry even if it is here.
    pub pull: bool,
    /// By registry.
    pub auth: BTreeMap<String, Credentials>,
}

/// Hears how far a transfer is: part, bytes, bytes in all.
pub type Report = Arc<dyn Fn(String, u64, Option<u64>) + Send + Sync>;

/// A layer being made: a directory in overlayfs' format. Dropped without [`Worker::keep`], it is removed.
pub trait Draft: Send + Sync {
    /// Its name once it is kept.
    fn name(&self) -> &str;
    /// The directory.
    fn path(&self) -> PathBuf;
    /// overlayfs' scratch directory for it.
    fn work(&self) -> PathBuf;
}

/// Something mounted for one command.
#[derive(Debug, Clone)]
pub struct RunMount {
    /// Absolute path in the container.
    pub target: String,
    pub read_only: bool,
    pub source: MountSource,
}

/// Where a mount of a command comes from.
#[derive(Debug, Clone)]
pub enum MountSource {
    /// A file or directory of the host.
    Path(PathBuf),
    /// A part of a tree of layers, top first. What is written is lost.
    Tree { lower: Vec<PathBuf>, subpath: String },
    /// Memory; `None` bytes is the kernel's default.
    Tmpfs { size: Option<u64> },
    /// A file in memory.
    Secret { bytes: Secret, uid: u32, gid: u32, mode: u32 },
    /// A socket that leads to the agent at that path.
    Ssh { agent: PathBuf, uid: u32, gid: u32, mode: u32 },
}

/// A command to run over layers.
#[derive(Debug, Clone)]
pub struct RunRequest {
    pub args: Vec<String>,
    pub env: Vec<String>,
    /// Names or numbers, `user[:group]`; empty is root.
    pub user: String,
    pub cwd: String,
    /// The layers below, top first.
    pub lower: Vec<PathBuf>,
    pub mounts: Vec<RunMount>,
    pub network: NetworkChoice,
    pub insecure: bool,
    pub hostname: Option<String>,
    pub extra_hosts: Vec<(String, String)>,
    pub shm_size: Option<u64>,
    pub ulimits: Vec<Ulimit>,
    pub cgroup_parent: Option<String>,
    /// Its own limits.
    pub resources: Resources,
    /// Whole names of devices that it is given, and nobody else as long as it runs.
    pub devices: Vec<String>,
}

/// Devices that a Dockerfile asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedDevices {
    /// Whole names.
    pub names: Vec<String>,
    /// Their owner lets any build have them.
    pub allowed: bool,
}

/// Hears what a command writes.
pub type Sink = Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// How a layer's archive is called and how large it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LayerDigest {
    /// The digest of the uncompressed archive.
    pub diff_id: String,
    /// Bytes of the archive.
    pub archive: u64,
    /// Bytes in the files.
    pub files: u64,
    /// What it became when it was compressed for a cache elsewhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub blobs: BTreeMap<Compression, LayerBlob>,
}

/// How layers of a cache are compressed, or those of an image where it is sent or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Gzip,
    Zstd,
    Uncompressed,
}

/// A layer's blob at a registry or in an image layout.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LayerBlob {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
}

/// Where a cache is that is not this machine's own.
#[derive(Debug, Clone)]
pub enum CachePlace {
    /// An image's name.
    Registry {
        reference: String,
        /// By registry.
        auth: BTreeMap<String, Credentials>,
    },
    /// An OCI image layout on this machine.
    Directory(PathBuf),
}

/// What a cache's manifest leads to; an image's is read in the same way.
#[derive(Debug, Clone)]
pub struct CacheDocument {
    /// The media type of the configuration.
    pub kind: String,
    pub config: Vec<u8>,
    /// Oldest first.
    pub layers: Vec<LayerBlob>,
}

/// An image to be recorded.
#[derive(Clone)]
pub struct NewImage {
    /// The configuration blob, complete.
    pub config: Vec<u8>,
    /// Its first layers, if it begins with an image.
    pub base: Option<BaseImage>,
    /// Names of kept layers, oldest first, with their archives.
    pub layers: Vec<(String, LayerDigest)>,
    pub names: Vec<String>,
    pub oci: bool,
    pub annotations: BTreeMap<String, String>,
}

/// An image of an index.
#[derive(Clone)]
pub struct IndexedImage {
    /// `os/arch[/variant]`.
    pub platform: String,
    pub image: NewImage,
    pub attestations: Vec<Attestation>,
}

/// Images for several platforms under the same names.
#[derive(Clone)]
pub struct NewIndex {
    pub images: Vec<IndexedImage>,
    pub names: Vec<String>,
    pub oci: bool,
    pub layers: LayerForm,
    /// Of the index itself.
    pub annotations: BTreeMap<String, String>,
}

/// The engine, as far as builds need it. All of it may be called from several builds at once.
pub trait Worker: Send + Sync + 'static {
    type Draft: Draft + 'static;

    /// Finds an image, and pulls it if it is not here.
    ///
    /// # Errors
    /// `NotFound` when no registry has it.
    fn image(
        &self,
        request: ImageRequest,
        report: Report,
    ) -> impl Future<Output = Result<BaseImage, BuildError>> + Send;

    /// An empty layer over these, top first.
    ///
    /// # Errors
    /// A full disk.
    fn draft(&self, lower: &[PathBuf]) -> impl Future<Output = Result<Self::Draft, BuildError>> + Send;

    /// Makes a layer last until [`Worker::release`].
    ///
    /// # Errors
    /// A full disk.
    fn keep(&self, draft: Self::Draft) -> impl Future<Output = Result<(), BuildError>> + Send;

    /// Lets kept layers go; returns the bytes that are free now.
    ///
    /// # Errors
    /// Those of removing files.
    fn release(&self, layers: Vec<String>) -> impl Future<Output = Result<u64, BuildError>> + Send;

    /// Names of all kept layers.
    ///
    /// # Errors
    /// Those of listing a directory.
    fn kept(&self) -> Result<Vec<String>, BuildError>;

    /// Names of the layers that images have, too.
    fn in_images(&self) -> std::collections::HashSet<String>;

    /// A kept layer's directory.
    fn layer_path(&self, name: &str) -> PathBuf;

    /// Computes a kept layer's archive without writing it.
    ///
    /// # Errors
    /// Those of reading files.
    fn describe(&self, name: &str) -> impl Future<Output = Result<LayerDigest, BuildError>> + Send;

    /// A mount of layers, top first, that appears nowhere; with a draft it can be written.
    ///
    /// # Errors
    /// The kernel's.
    fn mount(
        &self,
        lower: Vec<PathBuf>,
        draft: Option<&Self::Draft>,
    ) -> impl Future<Output = Result<OwnedFd, BuildError>> + Send;

    /// Runs a command that writes to a draft; returns its exit code. After a cancellation nothing of it is left.
    ///
    /// # Errors
    /// `Canceled`; what cannot be started.
    fn run(
        &self,
        request: RunRequest,
        draft: &Self::Draft,
        output: Sink,
        cancel: CancellationToken,
    ) -> impl Future<Output = Result<i32, BuildError>> + Send;

    /// How a file's content begins, uncompressed if it is compressed, up to 512 bytes; `None` if it cannot
    /// be uncompressed. The file is read from its beginning, and given back so that it can be again.
    ///
    /// # Errors
    /// Those of reading the file.
    fn beginning(
        &self,
        file: std::fs::File,
    ) -> impl Future<Output = Result<(std::fs::File, Option<Vec<u8>>), BuildError>> + Send;

    /// Unpacks a tar archive, compressed or not, below a directory of an open tree.
    ///
    /// # Errors
    /// What is no archive, and what would leave the tree.
    fn unpack(
        &self,
        tree: OwnedFd,
        base: PathBuf,
        archive: std::fs::File,
        owner: Option<(u32, u32)>,
    ) -> impl Future<Output = Result<(), BuildError>> + Send;

    /// Records an image; returns its id and its manifest's digest.
    ///
    /// # Errors
    /// Layers that are gone.
    fn store(&self, image: NewImage) -> impl Future<Output = Result<(String, String), BuildError>> + Send;

    /// Records an index of images under its names: here a name stands for this machine's image of it, or else the first
    /// one; a push sends all. Returns that image's id and the index's digest.
    ///
    /// # Errors
    /// Layers that are gone.
    fn store_index(&self, index: NewIndex) -> impl Future<Output = Result<(String, String), BuildError>> + Send;

    /// Writes an index and its images as an OCI layout to a file, and records nothing; returns the same as
    /// [`Worker::store_index`].
    ///
    /// # Errors
    /// Layers that are gone; those of the file.
    fn save_index(
        &self,
        index: NewIndex,
        to: PathBuf,
    ) -> impl Future<Output = Result<(String, String), BuildError>> + Send;

    /// The devices that a name or pattern of `RUN --device` stands for, whoever has them at the moment.
    ///
    /// # Errors
    /// `NotFound` with those that there are.
    fn devices(&self, pattern: String) -> impl Future<Output = Result<NamedDevices, BuildError>> + Send;

    /// Why commands of a platform cannot be run on this machine, and what to do; `None` if they can.
    fn cannot_run(&self, platform: &str) -> Option<String>;

    /// Sends an image to its registry, under its digest alone if that is asked.
    ///
    /// # Errors
    /// The registry's.
    fn push(
        &self,
        name: String,
        auth: BTreeMap<String, Credentials>,
        how: (LayerForm, Push),
        report: Report,
    ) -> impl Future<Output = Result<String, BuildError>> + Send;

    /// Writes an image as an archive for `docker load`, or with `oci` as an OCI layout, to a file; the archive calls it
    /// by these names.
    ///
    /// # Errors
    /// Those of the file.
    fn save(
        &self,
        image: String,
        names: Vec<String>,
        how: (bool, LayerForm),
        to: PathBuf,
    ) -> impl Future<Output = Result<(), BuildError>> + Send;

    /// Writes an open tree as a plain tar archive to a file.
    ///
    /// # Errors
    /// Those of the tree and of the file.
    fn archive(&self, tree: OwnedFd, to: PathBuf) -> impl Future<Output = Result<(), BuildError>> + Send;

    /// Reads a cache's document; `None` if there is none at that place. Of an index the platform's image is read.
    ///
    /// # Errors
    /// The registry's; those of files.
    fn read_cache(
        &self,
        place: CachePlace,
        platform: String,
    ) -> impl Future<Output = Result<Option<CacheDocument>, BuildError>> + Send;

    /// Fetches a layer of a cache; `below` are the layers under it, top first.
    ///
    /// # Errors
    /// Those of the place; a layer whose uncompressed archive has another digest than `diff_id`.
    fn fetch_layer(
        &self,
        place: CachePlace,
        blob: LayerBlob,
        diff_id: String,
        below: Vec<PathBuf>,
        report: Report,
    ) -> impl Future<Output = Result<Self::Draft, BuildError>> + Send;

    /// Puts a kept layer into a cache; `known` is what it became the last time, and need not be made again if it is
    /// still there.
    ///
    /// # Errors
    /// Those of the place.
    fn put_layer(
        &self,
        place: CachePlace,
        name: String,
        known: Option<LayerBlob>,
        compression: Compression,
        report: Report,
    ) -> impl Future<Output = Result<LayerBlob, BuildError>> + Send;

    /// Writes a cache's document, whose layers are there; returns the digest of its manifest.
    ///
    /// # Errors
    /// Those of the place.
    fn put_cache(
        &self,
        place: CachePlace,
        document: CacheDocument,
    ) -> impl Future<Output = Result<String, BuildError>> + Send;

    /// Takes an image away again that nobody was told of.
    fn forget(&self, image: String) -> impl Future<Output = ()> + Send;

    /// Downloads a file; returns the time of its last change (seconds since 1970), if the server says. `auth` is a whole
    /// `Authorization` header.
    ///
    /// # Errors
    /// The server's.
    fn download(
        &self,
        url: String,
        auth: Option<Secret>,
        to: PathBuf,
        report: Report,
    ) -> impl Future<Output = Result<Option<i64>, BuildError>> + Send;
}
