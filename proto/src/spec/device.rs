//! Devices of a node, and those of them that somebody was given.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Devices of which one is as good as another, but for their facts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceKind {
    /// `vendor.com/class`, or a plain word for a counter.
    pub name: String,
    pub source: DeviceSource,
    /// What requests by capability may name, such as `gpu`.
    pub capabilities: Vec<String>,
    /// Names that stand for several devices, such as `all`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Anybody may have them at any time; nothing is counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// In the order of their index.
    pub devices: Vec<NodeDevice>,
}

/// Where a device is known from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceSource {
    /// The driver's own library.
    Nvidia,
    /// sysfs.
    Sysfs,
    /// A CDI specification.
    Cdi,
    /// The node's settings.
    #[default]
    Declared,
}

/// One device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDevice {
    /// Its one name in the accounts: a UUID where there is one.
    pub name: String,
    /// Other names by which it can be asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Its place on its machine.
    pub index: u32,
    pub facts: DeviceFacts,
    /// How many parts it can be shared in; 1 is exclusive only.
    pub shares: u32,
    /// Why it is set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
    /// It is set aside because something is wrong with it: what holds it is to go elsewhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub faulty: bool,
    /// What containers that are no tasks of the cluster's hold of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<LocalHold>,
}

/// What a container that is no task holds of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalHold {
    /// The container's name.
    pub holder: String,
    /// `None` is the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
}

/// What is known of a device; empty where it is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceFacts {
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
    /// How near other devices of the kind are, by their names; greater is nearer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, u32>,
}

/// A device, or a part of it, that somebody was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AssignedDevice {
    pub kind: String,
    pub name: String,
    /// `None` is the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
    /// Parts that the device has.
    pub of: u32,
    /// The name for several devices by which it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Which of the requests it meets, from 0.
    pub request: u32,
}

/// What a device does at a moment; what is not measured is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeviceFigures {
    /// Percent of the last moment in which it worked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilisation: Option<u32>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_milliwatts: Option<u64>,
    /// Degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<i32>,
    /// MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<u32>,
    /// MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_clock: Option<u32>,
    /// What it has used since some moment in the past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_millijoules: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<DeviceProcess>,
}

/// A process that uses a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeviceProcess {
    /// As the machine counts, not a container.
    #[serde(rename = "PID")]
    pub pid: u32,
    /// Bytes of the device's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// What somebody has made of the devices that it holds, since it has them or since the node's daemon began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeviceUse {
    /// Device time in which was measured; a part of a device counts as such.
    pub measured_millis: u64,
    /// Of that, the time in which the devices worked.
    pub busy_millis: u64,
    pub energy_millijoules: u64,
}

impl DeviceUse {
    /// Percent of the measured time in which the devices did not work.
    pub fn idle_percent(&self) -> Option<f64> {
        let idle = self.measured_millis.saturating_sub(self.busy_millis);
        (self.measured_millis > 0).then(|| idle as f64 * 100.0 / self.measured_millis as f64)
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.measured_millis += other.measured_millis;
        self.busy_millis += other.busy_millis;
        self.energy_millijoules += other.energy_millijoules;
    }

    /// What has come since `earlier`; everything when it has begun anew meanwhile.
    pub fn since(&self, earlier: &Self) -> Self {
        if self.measured_millis < earlier.measured_millis {
            return *self;
        }
        Self {
            measured_millis: self.measured_millis - earlier.measured_millis,
            busy_millis: self.busy_millis.saturating_sub(earlier.busy_millis),
            energy_millijoules: self.energy_millijoules.saturating_sub(earlier.energy_millijoules),
        }
    }
}

impl NodeDevice {
    /// Whether it goes by this name.
    pub fn is(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// The name that a person reads: the shortest.
    pub fn short(&self) -> &str {
        let names = self.aliases.iter().map(String::as_str).chain([self.name.as_str()]);
        names.min_by_key(|name| name.len()).unwrap_or(&self.name)
    }
}
