//! What devices do: measured over and over, added up for those who hold them, and watched for what is wrong.

mod declared;
mod faults;
mod sysfs;
mod uses;

use std::path::Path;
use std::time::Duration;

use hoist_proto::spec::DeviceFigures;

pub(crate) use faults::{Fault, Faults};
pub(crate) use uses::Uses;

use crate::Declared;
use crate::inventory::{Device, Kind, Nvidia, Source};

/// How often devices are to be looked at.
pub const MEASURE_EVERY: Duration = Duration::from_secs(2);

/// A device with what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    pub kind: String,
    pub name: String,
    pub figures: DeviceFigures,
}

/// What one look at a device shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) figures: Option<DeviceFigures>,
    /// What is wrong with it.
    pub(crate) fault: Option<String>,
}

/// Looks at one device: what the node's settings say about its kind goes before what its driver says.
pub(crate) fn look(nvidia: &Nvidia, declared: Option<&Declared>, kind: &Kind, device: &Device) -> Seen {
    let mut seen = match kind.source {
        Source::Nvidia => nvidia.look(&device.name),
        Source::Sysfs => Seen { figures: sysfs::figures(Path::new("/sys"), &device.facts.pci), fault: None },
        Source::Cdi | Source::Declared => Seen::default(),
    };
    if let Some(declared) = declared {
        seen.figures = declared::figures(declared, device.index).or(seen.figures);
        seen.fault = declared::fault(declared, device.index).or(seen.fault);
    }
    seen
}
