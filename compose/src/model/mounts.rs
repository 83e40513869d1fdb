use serde::{Deserialize, Serialize};

use super::{ByteSize, Extensions, FileMode, Map, is_default};

/// A secret or a config mounted as a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FileMount {
    /// The key in the project's `secrets` or `configs`.
    #[serde(default)]
    pub source: String,
    /// Path in the container as it is written; see [`FileMount::secret_path`]
    /// and [`FileMount::config_path`] for what it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The owner, a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The group, a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<String>,
    /// Permissions; 0444 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

impl FileMount {
    /// Where a secret is in the container.
    pub fn secret_path(&self) -> String {
        self.path_below("/run/secrets/")
    }

    /// Where a config is in the container.
    pub fn config_path(&self) -> String {
        self.path_below("/")
    }

    fn path_below(&self, directory: &str) -> String {
        match self.target.as_deref().filter(|target| !target.is_empty()).unwrap_or(&self.source) {
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            name => format!("{directory}{name}"),
        }
    }
}

/// What is mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume; without a source an anonymous one.
    #[default]
    Volume,
    /// Memory.
    Tmpfs,
    /// A cluster (CSI) volume.
    Cluster,
    /// A named pipe (Windows).
    Npipe,
    /// An image's file system.
    Image,
}

/// One mount of a service, in the long syntax.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    #[serde(rename = "type")]
    pub kind: MountKind,
    /// Host path, volume key or image reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Path in the container.
    #[serde(default)]
    pub target: String,
    /// Whether it cannot be written to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Platform specific.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<String>,
    /// Options of a bind mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<BindOptions>,
    /// Options of a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeOptions>,
    /// Options of a tmpfs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<TmpfsOptions>,
    /// Options of an image mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageOptions>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

impl Mount {
    /// Whether a missing host directory is made; true unless switched off.
    pub fn create_host_path(&self) -> bool {
        self.bind.as_ref().is_none_or(|bind| bind.create_host_path)
    }
}

/// Options of a bind mount.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BindOptions {
    /// SELinux relabelling: `z` (shared) or `Z` (private).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selinux: Option<String>,
    /// `rprivate`, `private`, `rshared`, `shared`, `rslave`, `slave`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<String>,
    /// Whether a missing host directory is made.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub create_host_path: bool,
    /// Mounts below the source: `enabled`, `disabled`, `writable`, `readonly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recursive: Option<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

impl Default for BindOptions {
    fn default() -> Self {
        BindOptions {
            selinux: None,
            propagation: None,
            create_host_path: true,
            recursive: None,
            extensions: Extensions::default(),
        }
    }
}

/// Options of a volume mount.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VolumeOptions {
    /// Labels of the volume when the mount creates it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String>,
    /// Whether an empty volume is not filled from the image.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nocopy: bool,
    /// A path in the volume to mount instead of its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// Options of a tmpfs mount.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TmpfsOptions {
    /// The most it can hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// Permissions of its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// Options of an image mount.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageOptions {
    /// A path in the image to mount instead of its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}
