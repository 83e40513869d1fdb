//! AMD's and Intel's GPUs, by what their drivers show in sysfs.

use std::path::Path;

use hoist_proto::spec::DeviceFigures;

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What the device at a PCI address does; `None` where its driver tells nothing.
pub(super) fn figures(sys: &Path, pci: &str) -> Option<DeviceFigures> {
    if pci.is_empty() {
        return None;
    }
    let device = sys.join("bus/pci/devices").join(pci);
    let monitor =
        std::fs::read_dir(device.join("hwmon")).ok().and_then(|mut all| all.next()?.ok()).map(|one| one.path());
    let monitored = |name: &str| monitor.as_ref().and_then(|monitor| number(&monitor.join(name)));
    let small = |number: u64| u32::try_from(number).ok();
    let found = DeviceFigures {
        utilisation: number(&device.join("gpu_busy_percent")).and_then(small),
        memory_used: number(&device.join("mem_info_vram_used")),
        memory_total: number(&device.join("mem_info_vram_total")),
        // hwmon has microwatts, thousandths of a degree, hertz and microjoules.
        power_milliwatts: monitored("power1_average").or_else(|| monitored("power1_input")).map(|value| value / 1000),
        temperature: monitored("temp1_input").and_then(|value| i32::try_from(value / 1000).ok()),
        clock: monitored("freq1_input").and_then(|value| small(value / 1_000_000)),
        memory_clock: monitored("freq2_input").and_then(|value| small(value / 1_000_000)),
        energy_millijoules: monitored("energy1_input").map(|value| value / 1000),
        processes: Vec::new(),
    };
    (found != DeviceFigures::default()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_shows_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("bus/pci/devices/0000:03:00.0");
        let monitor = device.join("hwmon/hwmon3");
        std::fs::create_dir_all(&monitor).unwrap();
        assert_eq!(figures(dir.path(), "0000:03:00.0"), None);
        for (name, value) in [("gpu_busy_percent", "45"), ("mem_info_vram_used", "1024")] {
            std::fs::write(device.join(name), format!("{value}\n")).unwrap();
        }
        for (name, value) in [("power1_average", "120000000"), ("temp1_input", "61000"), ("freq1_input", "2100000000")]
        {
            std::fs::write(monitor.join(name), format!("{value}\n")).unwrap();
        }
        let found = figures(dir.path(), "0000:03:00.0").unwrap();
        assert_eq!((found.utilisation, found.memory_used), (Some(45), Some(1024)));
        assert_eq!((found.power_milliwatts, found.temperature, found.clock), (Some(120_000), Some(61), Some(2100)));
    }
}
