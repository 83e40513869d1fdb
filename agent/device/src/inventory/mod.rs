//! What there is: kinds and their devices, from whichever place.

mod assemble;
mod declared;
mod drm;
mod nvidia;
mod nvidia_figures;
mod nvidia_files;

use std::collections::BTreeMap;

pub use hoist_proto::spec::{DeviceFacts as Facts, DeviceSource as Source};
use hoist_proto::spec::{DeviceKind, NodeDevice};
use serde::Serialize;

pub(crate) use assemble::assemble;
pub use declared::{Declared, DeclaredNode, parse_generic};
pub(crate) use drm::discover as discover_drm;
pub(crate) use nvidia::{CAPABILITIES, Nvidia};

use crate::cdi::Edits;

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

impl Kind {
    /// What a choice looks at.
    pub(crate) fn plain(&self) -> DeviceKind {
        DeviceKind {
            name: self.name.clone(),
            source: self.source,
            capabilities: self.capabilities.clone(),
            groups: self.groups.keys().cloned().collect(),
            open: self.open,
            devices: self.devices.iter().map(Device::plain).collect(),
        }
    }
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
    /// It is set aside because something is wrong with it.
    pub faulty: bool,
    /// What its CDI specification notes of it, for whom it may concern.
    #[serde(skip)]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip)]
    pub edits: Edits,
    /// Node paths may have `{index}`: the device's place in the container.
    #[serde(skip)]
    pub renumbered: bool,
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
            faulty: false,
            annotations: BTreeMap::new(),
            edits: Edits::default(),
            renumbered: false,
        }
    }

    fn plain(&self) -> NodeDevice {
        NodeDevice {
            name: self.name.clone(),
            aliases: self.aliases.clone(),
            index: self.index,
            facts: self.facts.clone(),
            shares: self.shares,
            set_aside: self.set_aside.clone(),
            faulty: self.faulty,
            held: Vec::new(),
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
