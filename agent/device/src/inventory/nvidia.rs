//! NVIDIA GPUs, by the driver's own library, which is loaded when there is one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use nvml_wrapper::enum_wrappers::device::TopologyLevel;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device as Gpu, Nvml};

use super::nvidia_figures::{Events, figures, memory_fault};
use super::nvidia_files::{Files, shared_nodes};
use super::{Device, Facts, Kind, Source, near};
use crate::cdi::{DeviceNode, Edits};
use crate::measure::Seen;

/// The kind of all NVIDIA GPUs, as NVIDIA's own CDI files name it.
pub(crate) const KIND: &str = "nvidia.com/gpu";
/// What `NVIDIA_DRIVER_CAPABILITIES` may name.
pub(crate) const CAPABILITIES: [&str; 7] = ["compute", "compat32", "graphics", "utility", "video", "display", "ngx"];
/// How many links a GPU can have; asking beyond is answered with an error.
const LINKS_MAX: u32 = 18;

/// The driver's library, and what belongs to the driver on the disk.
#[derive(Default)]
pub(crate) struct Nvidia {
    /// Once loaded it stays for as long as the process: what it hears of events is bound to it.
    nvml: Option<&'static Nvml>,
    files: Option<Files>,
    faults: Events,
}

impl Nvidia {
    /// The GPUs; `None` where there are none. What is wrong goes to `warnings`.
    pub(crate) fn discover(&mut self, warnings: &mut Vec<String>) -> Option<Kind> {
        let driver = Path::new("/proc/driver/nvidia/version").exists();
        if self.nvml.is_none() {
            match Nvml::builder().lib_path(OsStr::new("libnvidia-ml.so.1")).init() {
                Ok(nvml) => {
                    let nvml: &'static Nvml = Box::leak(Box::new(nvml));
                    self.faults = Events::listen(nvml);
                    self.nvml = Some(nvml);
                }
                // Without the driver nobody misses its library.
                Err(error) if driver => {
                    warnings.push(format!(
                        "NVIDIA's driver is loaded, but its library libnvidia-ml.so.1 cannot be used ({error}): install \
                         the driver's user-space libraries of the same version"
                    ));
                    return None;
                }
                Err(_) => return None,
            }
        }
        let nvml = self.nvml?;
        match kind(nvml) {
            Ok((mut kind, version)) => {
                let files = self.files.get_or_insert_with(|| Files::find(&version));
                kind.common = files.edits(&[]);
                kind.common.device_nodes = shared_nodes(true);
                Some(kind).filter(|kind| !kind.devices.is_empty())
            }
            Err(error) => {
                warnings.push(format!("NVIDIA's library does not answer: {error}"));
                None
            }
        }
    }

    /// What a container with any GPU sees beside it, for the capabilities that its image asks for.
    pub(crate) fn common(&self, capabilities: &[String]) -> Edits {
        let wants = |name: &str| capabilities.iter().any(|capability| capability == name);
        let mut edits = self.files.as_ref().map(|files| files.edits(capabilities)).unwrap_or_default();
        edits.device_nodes = shared_nodes(wants("graphics") || wants("display"));
        edits
    }

    /// Takes note of the errors that the driver has told of since it was asked last.
    pub(crate) fn hear_events(&mut self) {
        self.faults.hear();
    }

    /// What a GPU is accused of is forgotten.
    pub(crate) fn forgive(&mut self, uuid: &str) {
        self.faults.forget(uuid);
    }

    /// What a GPU, or a part of one, does, and what is wrong with it.
    pub(crate) fn look(&self, uuid: &str) -> Seen {
        let Some(nvml) = self.nvml else { return Seen::default() };
        match nvml.device_by_uuid(uuid) {
            Ok(gpu) => {
                let whole = gpu.mig_parent_device().ok();
                let whole = whole.as_ref().unwrap_or(&gpu);
                let fault =
                    whole.uuid().ok().and_then(|uuid| self.faults.of(&uuid)).or_else(|| memory_fault(nvml, whole));
                Seen { figures: Some(figures(&gpu)), fault }
            }
            Err(NvmlError::GpuLost) => {
                Seen { figures: None, fault: Some("the driver has lost it: it has fallen off the bus".into()) }
            }
            Err(_) => Seen::default(),
        }
    }

    /// Where the driver's libraries are on the host.
    pub(crate) fn library_dir(&self) -> Option<&str> {
        self.files.as_ref().map(|files| files.library_dir.as_str()).filter(|dir| !dir.is_empty())
    }
}

fn kind(nvml: &Nvml) -> Result<(Kind, String), NvmlError> {
    let version = nvml.sys_driver_version()?;
    let mut devices = Vec::new();
    for index in 0..nvml.device_count()? {
        let gpu = nvml.device_by_index(index)?;
        let device = whole(&gpu, index, &version)?;
        let parts = parts(nvml, &gpu, &device);
        // A GPU that is divided is not given as a whole.
        if gpu.mig_mode().is_ok_and(|mode| mode.current == 1) { devices.extend(parts) } else { devices.push(device) }
    }
    link(nvml, &mut devices);
    let kind = Kind {
        name: KIND.to_owned(),
        source: Source::Nvidia,
        capabilities: ["gpu", "nvidia"].into_iter().chain(CAPABILITIES).map(str::to_owned).collect(),
        common: Edits::default(),
        devices,
        groups: BTreeMap::new(),
        open: false,
    };
    Ok((kind, version))
}

fn whole(gpu: &Gpu<'_>, index: u32, version: &str) -> Result<Device, NvmlError> {
    let mut device = Device::named(gpu.uuid()?, index);
    device.aliases = vec![index.to_string()];
    let pci = gpu.pci_info().map(|pci| pci.bus_id.to_lowercase()).unwrap_or_default();
    device.facts = Facts {
        model: gpu.name().unwrap_or_default(),
        memory: gpu.memory_info().ok().map(|memory| memory.total),
        driver_version: version.to_owned(),
        compute: gpu.cuda_compute_capability().map(|c| format!("{}.{}", c.major, c.minor)).unwrap_or_default(),
        numa: gpu.numa_node_id().ok(),
        // The library writes domains with eight digits, the kernel with four.
        pci: pci.strip_prefix("0000").filter(|rest| rest.len() >= 12).unwrap_or(&pci).to_owned(),
        ..Facts::default()
    };
    device.edits.device_nodes = vec![DeviceNode::at(format!("/dev/nvidia{}", gpu.minor_number()?))];
    Ok(device)
}

/// The instances of a divided GPU, with the nodes by which the driver lets each be used.
fn parts(nvml: &Nvml, gpu: &Gpu<'_>, whole: &Device) -> Vec<Device> {
    let (Ok(count), Ok(minor)) = (gpu.mig_device_count(), gpu.minor_number()) else { return Vec::new() };
    let mut found = Vec::new();
    for place in 0..count {
        let Ok(part) = gpu.mig_device_by_index(place) else { continue };
        let (Ok(uuid), Some((instance, compute))) = (part.uuid(), instance_ids(nvml, &part)) else { continue };
        let mut device = Device::named(uuid, whole.index);
        device.aliases = vec![format!("{}:{place}", whole.index)];
        device.facts = whole.facts.clone();
        device.facts.memory = part.memory_info().ok().map(|memory| memory.total);
        let name = part.name().unwrap_or_default();
        device.facts.mig_profile =
            name.rsplit("MIG ").next().filter(|_| name.contains("MIG ")).unwrap_or_default().into();
        device.facts.model = name;
        device.facts.parent.clone_from(&whole.name);
        device.edits = whole.edits.clone();
        let base = format!("/proc/driver/nvidia/capabilities/gpu{minor}/mig/gi{instance}");
        for access in [format!("{base}/access"), format!("{base}/ci{compute}/access")] {
            if let Some(cap) = capability_minor(Path::new(&access)) {
                device.edits.device_nodes.push(DeviceNode::at(format!("/dev/nvidia-caps/nvidia-cap{cap}")));
            }
        }
        found.push(device);
    }
    found
}

/// The line `DeviceFileMinor: 12` of a file of the driver's.
fn capability_minor(path: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("DeviceFileMinor:")?.trim().parse().ok())
}

/// Numbers of the GPU instance and the compute instance, which the wrapper does not ask for.
#[allow(unsafe_code, reason = "two calls of the library that the wrapper has no safe form of")]
fn instance_ids(nvml: &Nvml, part: &Gpu<'_>) -> Option<(u32, u32)> {
    let library = nvml.lib();
    let (gpu, compute) =
        (library.nvmlDeviceGetGpuInstanceId.as_ref().ok()?, library.nvmlDeviceGetComputeInstanceId.as_ref().ok()?);
    let (mut gpu_id, mut compute_id) = (0, 0);
    // SAFETY: the handle came from this library, which lives as long as `nvml`; both calls write one number to memory
    // that is ours for the time of the call.
    let answers = unsafe { [gpu(part.handle(), &raw mut gpu_id), compute(part.handle(), &raw mut compute_id)] };
    (answers == [0, 0]).then_some((gpu_id, compute_id))
}

/// How near the GPUs are to one another.
fn link(nvml: &Nvml, devices: &mut [Device]) {
    let gpus: Vec<Option<Gpu<'_>>> =
        devices.iter().map(|device| nvml.device_by_uuid(device.name.as_str()).ok()).collect();
    let lines: Vec<Vec<String>> = gpus.iter().map(|gpu| gpu.as_ref().map(nvlinks).unwrap_or_default()).collect();
    for one in 0..devices.len() {
        for other in 0..devices.len() {
            let (Some(a), Some(b)) = (&gpus[one], &gpus[other]) else { continue };
            if one == other || !devices[one].facts.parent.is_empty() {
                continue;
            }
            // All GPUs of a machine with switches for NVLink reach one another by all their links.
            let direct = lines[one].iter().filter(|pci| **pci == devices[other].facts.pci).count();
            let switched = if direct == 0 && shares_switch(&lines[one], &lines[other]) { 1 } else { 0 };
            let nvlinks = u32::try_from(direct + switched).unwrap_or(0);
            let pcie = match nvml.topology_common_ancestor(a, b) {
                Ok(TopologyLevel::Internal) => near::SAME_BOARD,
                Ok(TopologyLevel::Single) => near::SAME_SWITCH,
                Ok(TopologyLevel::Multiple) => near::SEVERAL_SWITCHES,
                Ok(TopologyLevel::HostBridge) => near::SAME_HOST_BRIDGE,
                Ok(TopologyLevel::Node) => near::SAME_NUMA_NODE,
                _ => near::SAME_MACHINE,
            };
            let name = devices[other].name.clone();
            let value = if nvlinks > 0 { near::NVLINK * nvlinks } else { pcie };
            devices[one].facts.links.insert(name, value);
        }
    }
}

/// PCI addresses at the far ends of a GPU's active links.
fn nvlinks(gpu: &Gpu<'_>) -> Vec<String> {
    let active = (0..LINKS_MAX).map(|link| gpu.link_wrapper_for(link)).filter(|link| link.is_active().unwrap_or(false));
    active
        .filter_map(|link| link.remote_pci_info().ok())
        .map(|pci| pci.bus_id.to_lowercase())
        .map(|pci| pci.strip_prefix("0000").filter(|rest| rest.len() >= 12).unwrap_or(&pci).to_owned())
        .collect()
}

fn shares_switch(one: &[String], other: &[String]) -> bool {
    one.iter().any(|pci| other.contains(pci))
}
