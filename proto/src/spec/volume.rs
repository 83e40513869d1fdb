//! Mounts and volumes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something mounted into a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    pub kind: MountKind,
    /// Volume name, host path or image; `None` for tmpfs and anonymous volumes.
    pub source: Option<String>,
    /// Absolute path in the container.
    pub target: String,
    pub read_only: bool,
    /// (bind) `private`, `rprivate`, `shared`, `rshared`, `slave`, `rslave`.
    pub propagation: Option<String>,
    /// (bind) makes a missing source directory.
    pub create_host_path: bool,
    /// (bind) `enabled`, `disabled`, `writable`, `readonly`.
    pub recursive: Option<String>,
    /// (bind) `z` or `Z`.
    pub selinux: Option<String>,
    /// (volume) does not copy the image's files into an empty volume.
    pub no_copy: bool,
    /// (volume, image) a path inside the source.
    pub subpath: Option<String>,
    /// (volume) driver, options and labels of a volume that is made on the way.
    pub driver: Option<String>,
    pub driver_options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// (tmpfs) bytes.
    pub tmpfs_size: Option<u64>,
    /// (tmpfs) permission bits.
    pub tmpfs_mode: Option<u32>,
    /// (tmpfs) further mount options, such as `noexec`.
    pub tmpfs_options: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    #[default]
    Volume,
    Bind,
    Tmpfs,
    Image,
    Npipe,
    Cluster,
}

/// A named volume as it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeSpec {
    pub name: String,
    /// Empty is `local`.
    pub driver: String,
    pub driver_options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
}
