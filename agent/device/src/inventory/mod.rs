//! What there is: kinds and their devices, from whichever place.

mod assemble;
mod declared;
mod drm;
mod nvidia;
mod nvidia_files;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use assemble::assemble;
pub use declared::{Declared, DeclaredNode, parse_generic};
pub(crate) use drm::discover as discover_drm;
pub(crate) use nvidia::{CAPABILITIES, Nvidia};

use crate::cdi::Edits;

/// Where a device is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The driver's own library.
    Nvidia,
    /// sysfs.
    Sysfs,
    /// A CDI specification.
    Cdi,
    /// The node's settings.
    Declared,
}

/// Devices of which one is as good as another, but for their facts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kind {
    /// `vendor.com/class`, or a plain word for a counter.
    pub name: String,
    pub source: Source,
    /// What requests by capability may name, such as `gpu`.
    pub capabilities: Vec<String>,
    /// For a container that has any of the devices.
    #[serde(skip)]
    pub common: Edits,
    /// In the order of their index.
    pub devices: Vec<Device>,
    /// Names that stand for several devices, such as `all`.
    #[serde(skip)]
    pub groups: BTreeMap<String, Group>,
    /// Anybody may have them at any time; nothing is counted.
    pub open: bool,
}

/// A name that stands for several devices.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// Places in [`Kind::devices`].
    pub members: Vec<usize>,
    /// Instead of those of the members.
    pub edits: Edits,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Device {
    /// Its one name in the accounts: a UUID where there is one.
    pub name: String,
    /// Other names by which it can be asked for.
    pub aliases: Vec<String>,
    /// Its place on this machine.
    pub index: u32,
    pub facts: Facts,
    /// How many parts it can be shared in; 1 is exclusive only.
    pub shares: u32,
    /// Why it is set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
    /// What its CDI specification notes of it, for whom it may concern.
    #[serde(skip)]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip)]
    pub edits: Edits,
    /// Node paths may have `{index}`: the device's place in the container.
    #[serde(skip)]
    pub renumbered: bool,
}

/// What is known of a device; empty where it is not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// `0000:65:00.0`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pci: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver_version: String,
    /// `8.0`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub compute: String,
    /// `1g.5gb`, for a part of a GPU.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mig_profile: String,
    /// The GPU that it is a part of.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa: Option<u32>,
    /// How near other devices of the kind are, by their names; greater is nearer (see [`near`]).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, u32>,
}

/// How near two devices are.
pub mod near {
    /// Each active NVLink between them counts once more.
    pub const NVLINK: u32 = 100;
    pub const SAME_BOARD: u32 = 60;
    pub const SAME_SWITCH: u32 = 50;
    pub const SEVERAL_SWITCHES: u32 = 40;
    pub const SAME_HOST_BRIDGE: u32 = 30;
    pub const SAME_NUMA_NODE: u32 = 20;
    pub const SAME_MACHINE: u32 = 10;
}

impl Device {
    /// A device that is known by no more than its name.
    pub fn named(name: impl Into<String>, index: u32) -> Self {
        Self {
            name: name.into(),
            aliases: Vec::new(),
            index,
            facts: Facts::default(),
            shares: 1,
            set_aside: None,
            annotations: BTreeMap::new(),
            edits: Edits::default(),
            renumbered: false,
        }
    }

    /// Whether it goes by this name.
    pub fn is(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// The name that a person reads: the shortest.
    pub fn short(&self) -> &str {
        self.aliases
            .iter()
            .map(String::as_str)
            .chain([self.name.as_str()])
            .min_by_key(|name| name.len())
            .unwrap_or(&self.name)
    }
}

/// Everything on the machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Inventory {
    pub kinds: Vec<Kind>,
    /// What is wrong, in words: files that cannot be read, a driver that does not answer.
    pub warnings: Vec<String>,
}

impl Inventory {
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    /// A device by its kind and any of its names.
    pub fn find(&self, kind: &str, name: &str) -> Option<(&Kind, &Device)> {
        let kind = self.kind(kind)?;
        kind.devices.iter().find(|device| device.is(name)).map(|device| (kind, device))
    }
}
