//! What a build is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hoist_proto::spec::{Resources, Ulimit};
use serde::{Deserialize, Serialize};

use crate::dockerfile::NetworkMode;
use crate::{Attestations, BuildError, Compression};

/// One build, complete: nothing is read from the environment beside it.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// What errors and events call the file.
    pub dockerfile_name: String,
    /// What `COPY` and `ADD` read; without one they may only name other sources.
    pub context: Option<Context>,
    /// Further contexts by name (`--build-context`): they stand for a stage or an image of that name, too.
    pub contexts: BTreeMap<String, NamedContext>,
    /// The stage to build; the last one when `None`.
    pub target: Option<String>,
    /// `--build-arg`, values given.
    pub args: BTreeMap<String, String>,
    /// Labels that the image gets besides the Dockerfile's.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the image's manifest.
    pub annotations: BTreeMap<String, String>,
    /// Annotations of the index of images.
    pub index_annotations: BTreeMap<String, String>,
    /// `os/arch[/variant]`; this machine's when empty.
    pub platforms: Vec<String>,
    /// Runs every step again.
    pub no_cache: bool,
    /// Stages whose steps are run again, by name or number.
    pub no_cache_filter: BTreeSet<String>,
    /// Asks the registry for base images even if they are here.
    pub pull: bool,
    /// The network of `RUN` steps that do not say.
    pub network: NetworkChoice,
    /// Further lines of `/etc/hosts` in `RUN` steps: name and address, or `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
    /// Bytes of `/dev/shm` in `RUN` steps.
    pub shm_size: Option<u64>,
    /// Limits of the processes of `RUN` steps.
    pub ulimits: Vec<Ulimit>,
    /// The parent of the steps' cgroups.
    pub cgroup_parent: Option<String>,
    /// `--secret`: what `RUN --mount=type=secret` sees, by id.
    pub secrets: BTreeMap<String, Secret>,
    /// `--ssh`: an agent's socket on this machine, by id.
    pub ssh: BTreeMap<String, PathBuf>,
    /// `--allow`.
    pub entitlements: BTreeSet<Entitlement>,
    /// Where the result goes; an image without a name when empty.
    pub outputs: Vec<Output>,
    /// Names that an image of the result gets, as people write them.
    pub tags: Vec<String>,
    /// Credentials by registry (`docker.io`, `host:port`).
    pub auth: BTreeMap<String, Credentials>,
    /// Every time in the result that is later becomes this one, seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub source_date_epoch: Option<i64>,
    /// What is said about the result, and kept with it.
    pub attestations: Attestations,
    /// Limits of `RUN` steps; they change no result, and no key.
    pub resources: Resources,
    /// Caches to read, as `--cache-from` has them.
    pub cache_from: Vec<CacheLocation>,
    /// Caches to write, as `--cache-to` has them.
    pub cache_to: Vec<CacheLocation>,
}

impl BuildRequest {
    /// What the image is called, of several names the first.
    pub(crate) fn first_name(&self) -> Option<&String> {
        fn own(output: &Output) -> Option<&String> {
            match output {
                Output::Image(how) | Output::Docker(_, how) | Output::Oci(_, how) => how.names.first(),
                _ => None,
            }
        }
        self.tags.first().or_else(|| self.outputs.iter().find_map(own))
    }

    /// An argument that configures the builder, if it says something.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.args.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The same for one that is on or off.
    ///
    /// # Errors
    /// Another value.
    pub(crate) fn switch(&self, name: &str) -> Result<bool, BuildError> {
        match self.setting(name) {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(other) => Err(BuildError::Request(format!("{name}={other}: expected 1 or 0"))),
        }
    }
}

/// A directory on this machine that holds what a client sent. It is read, never written, and must not change during
/// the build. What `.dockerignore` excludes is either not there or named by `ignore`.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The directory.
    pub root: PathBuf,
    /// The lines of a `.dockerignore` that was not applied yet; empty when nothing is excluded.
    pub ignore: Vec<String>,
    /// Its files are never changed, not even after the build, only replaced: layers may share them.
    pub lasting: bool,
}

/// What a named context is.
#[derive(Debug, Clone)]
pub enum NamedContext {
    /// A directory.
    Directory(Context),
    /// An image (`docker-image://…`).
    Image(String),
}

/// A network of `RUN` steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NetworkChoice {
    /// The engine's default network.
    #[default]
    Default,
    /// No network at all.
    None,
    /// The host's; needs [`Entitlement::NetworkHost`] when a Dockerfile asks for it.
    Host,
    /// A network of the engine, by name.
    Named(String),
}

impl From<NetworkMode> for NetworkChoice {
    fn from(mode: NetworkMode) -> Self {
        match mode {
            NetworkMode::Default => Self::Default,
            NetworkMode::None => Self::None,
            NetworkMode::Host => Self::Host,
        }
    }
}

/// What a build is allowed beyond the usual.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Entitlement {
    /// `RUN --network=host`.
    NetworkHost,
    /// `RUN --security=insecure`.
    SecurityInsecure,
    /// `RUN --device`: one device or pattern as the Dockerfile or its owner calls it, or any.
    Device(Option<String>),
}

impl FromStr for Entitlement {
    type Err = String;

    /// `network.host`, `security.insecure`, `device`, `device=NAME`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some(("device", name)) if !name.is_empty() => Ok(Self::Device(Some(name.to_owned()))),
            _ => match text {
                "network.host" => Ok(Self::NetworkHost),
                "security.insecure" => Ok(Self::SecurityInsecure),
                "device" => Ok(Self::Device(None)),
                other => Err(format!(
                    "unknown entitlement {other:?}: network.host, security.insecure, device and device=NAME can be \
                     allowed"
                )),
            },
        }
    }
}

/// A secret's bytes; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// Credentials for a registry; never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
    /// An OAuth2 refresh token, used instead of a password.
    pub identity_token: Option<String>,
    /// A token that is sent as it is.
    pub registry_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Where a result goes. Paths are on this machine: a face that serves others sends what was written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Into the engine's images.
    Image(ImageOutput),
    /// The file tree, into a directory, which is made if missing.
    Local(PathBuf),
    /// The file tree as one tar archive.
    Tar(PathBuf),
    /// An archive for `docker load`.
    Docker(PathBuf, ImageOutput),
    /// An OCI image layout as a tar archive.
    Oci(PathBuf, ImageOutput),
    /// Nothing: the steps are run, the result stays in the cache.
    Cache,
}

/// An image as one output wants it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageOutput {
    /// OCI's media types instead of Docker's.
    pub oci: bool,
    /// What this output alone calls it, besides [`BuildRequest::tags`].
    pub names: Vec<String>,
    /// Annotations of its manifests, besides [`BuildRequest::annotations`].
    pub annotations: BTreeMap<String, String>,
    /// Annotations of its index, besides [`BuildRequest::index_annotations`].
    pub index_annotations: BTreeMap<String, String>,
    /// How its layers are compressed where they are sent or written.
    pub layers: LayerForm,
    /// Sends it to its names' registries as well.
    pub push: Option<Push>,
}

/// Under what a registry gets an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Push {
    Tag,
    /// Its digest: no tag leads to it.
    Digest,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayerForm {
    /// When none is said, what is not compressed is sent with gzip, and written to an archive as it is.
    pub compression: Option<Compression>,
    /// The method's own scale: gzip 0 to 9, zstd 1 to 22.
    pub level: Option<i32>,
    /// Also layers that are compressed in another way already, as those of base images are.
    pub force: bool,
}

/// A cache outside of this machine's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheLocation {
    /// `registry`, `local`, `inline`.
    pub kind: String,
    /// `ref`, `src`, `dest`, `mode`, ….
    pub options: BTreeMap<String, String>,
}
