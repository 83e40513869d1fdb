//! AMD and Intel GPUs, as sysfs shows them.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Device, Kind, Source};
use crate::cdi::{DeviceNode, Edits};

/// `(PCI vendor, kind, nodes that all devices need)`
const VENDORS: [(&str, &str, &[&str]); 2] =
    [("0x1002", "amd.com/gpu", &["/dev/kfd"]), ("0x8086", "intel.com/gpu", &[])];

/// The GPUs below `sys` (usually `/sys`) whose nodes are below `dev` (`/dev`).
pub(crate) fn discover(sys: &Path, dev: &Path) -> Vec<Kind> {
    let mut cards: Vec<(u32, std::path::PathBuf)> = std::fs::read_dir(sys.join("class/drm"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            // `card0`; outputs are `card0-DP-1`.
            let number = entry.file_name().to_str()?.strip_prefix("card")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    cards.sort();
    VENDORS
        .iter()
        .filter_map(|(vendor, name, shared)| {
            let of_vendor = cards.iter().filter(|(_, path)| read(&path.join("device/vendor")) == *vendor);
            let devices: Vec<Device> =
                (0..).zip(of_vendor).map(|(index, (card, path))| device(index, *card, path, dev)).collect();
            if devices.is_empty() {
                return None;
            }
            let shared = shared.iter().filter(|path| dev.join(path.trim_start_matches("/dev/")).exists());
            Some(Kind {
                name: (*name).to_owned(),
                source: Source::Sysfs,
                capabilities: ["gpu", "compute", "graphics", "video", "display", "utility"].map(str::to_owned).to_vec(),
                common: Edits { device_nodes: shared.map(|path| DeviceNode::at(*path)).collect(), ..Edits::default() },
                devices,
                groups: BTreeMap::new(),
                open: false,
            })
        })
        .collect()
}

fn device(index: u32, card: u32, path: &Path, dev: &Path) -> Device {
    let hardware = path.join("device");
    let pci = std::fs::canonicalize(&hardware)
        .ok()
        .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
        .unwrap_or_default();
    let unique = read(&hardware.join("unique_id"));
    let name = if unique.is_empty() { format!("pci-{pci}") } else { format!("GPU-{unique}") };
    let mut device = Device::named(if pci.is_empty() && unique.is_empty() { index.to_string() } else { name }, index);
    device.aliases = [index.to_string(), pci.clone()]
        .into_iter()
        .filter(|alias| !alias.is_empty() && *alias != device.name)
        .collect();
    let product = read(&hardware.join("product_name"));
    device.facts.model = if product.is_empty() { read(&hardware.join("device")) } else { product };
    device.facts.memory = read(&hardware.join("mem_info_vram_total")).parse().ok();
    device.facts.numa = read(&hardware.join("numa_node")).parse().ok();
    device.facts.pci = pci;
    device.edits.device_nodes.push(DeviceNode::at(format!("/dev/dri/card{card}")));
    // The card's node for computing has a number of its own.
    let render = std::fs::read_dir(hardware.join("drm")).into_iter().flatten().flatten().find_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("renderD").then_some(name)
    });
    if let Some(render) = render.filter(|render| dev.join("dri").join(render).exists()) {
        device.edits.device_nodes.push(DeviceNode::at(format!("/dev/dri/{render}")));
    }
    device
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_of_each_vendor_are_counted_apart() {
        let dir = tempfile::tempdir().unwrap();
        let (sys, dev) = (dir.path().join("sys"), dir.path().join("dev"));
        std::fs::create_dir_all(dev.join("dri")).unwrap();
        std::fs::write(dev.join("kfd"), "").unwrap();
        for (card, vendor, pci) in
            [(0, "0x8086", "0000:00:02.0"), (1, "0x1002", "0000:03:00.0"), (2, "0x1002", "0000:04:00.0")]
        {
            let hardware = sys.join("devices").join(pci);
            let render = format!("renderD{}", 128 + card);
            std::fs::create_dir_all(hardware.join("drm").join(&render)).unwrap();
            std::fs::write(dev.join("dri").join(&render), "").unwrap();
            std::fs::write(hardware.join("vendor"), format!("{vendor}\n")).unwrap();
            std::fs::write(hardware.join("mem_info_vram_total"), "1024\n").unwrap();
            let class = sys.join("class/drm").join(format!("card{card}"));
            std::fs::create_dir_all(&class).unwrap();
            std::os::unix::fs::symlink(&hardware, class.join("device")).unwrap();
        }
        let kinds = discover(&sys, &dev);
        let amd = &kinds[0];
        assert_eq!((amd.name.as_str(), amd.devices.len()), ("amd.com/gpu", 2));
        assert_eq!(amd.common.device_nodes, [DeviceNode::at("/dev/kfd")]);
        let second = &amd.devices[1];
        assert!(second.is("1") && second.is("0000:04:00.0") && second.is("pci-0000:04:00.0"), "{second:?}");
        assert_eq!(second.facts.memory, Some(1024));
        let paths: Vec<&str> = second.edits.device_nodes.iter().map(|node| node.path.as_str()).collect();
        assert_eq!(paths, ["/dev/dri/card2", "/dev/dri/renderD130"]);
        assert_eq!((kinds[1].name.as_str(), kinds[1].devices.len()), ("intel.com/gpu", 1));
        assert!(discover(&dir.path().join("none"), &dev).is_empty());
    }
}
