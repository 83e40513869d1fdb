//! What a container is, as it is written down (`container.json`).

use hoist_proto::clock::Timestamp;
use hoist_proto::id::ContainerId;
use hoist_proto::spec::{ContainerSpec, Mount};
use serde::{Deserialize, Serialize};

use crate::model::Effective;

/// The version of the file's form.
pub(crate) const VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub version: u32,
    pub id: ContainerId,
    pub name: String,
    pub created: Timestamp,
    /// Without the bytes of secrets.
    pub spec: ContainerSpec,
    pub image_id: String,
    pub platform: String,
    pub effective: Effective,
    pub mounts: Vec<PlannedMount>,
}

/// A mount with everything that had to be found out when the container was made.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PlannedMount {
    /// Its source is a volume's name, a path of the host or an image's id.
    pub mount: Mount,
    /// The volume was made for this container.
    pub anonymous: bool,
}
