//! Reading what a cgroup has used. A controller that the host does not have leaves its part at zero.

use std::collections::BTreeMap;
use std::path::Path;

use super::stats::{BlkioStats, CgroupStats, CpuStats, DeviceIo, HugetlbStats, MemoryStats, PidsStats};
use super::{Cgroup, CgroupError};

/// See [`Cgroup::stats`].
pub(super) fn all(cgroup: &Cgroup) -> Result<CgroupStats, CgroupError> {
    // One file that must be there tells a cgroup that is gone from one without controllers.
    if !cgroup.directories().any(|dir| dir.exists()) {
        return Err(CgroupError::Io {
            what: format!("read cgroup {}", cgroup.path()),
            source: std::io::ErrorKind::NotFound.into(),
        });
    }
    let mut stats = CgroupStats::default();
    let v2 = cgroup.layout().pure_v2().map(|hierarchy| hierarchy.directory(cgroup.path()));
    match (cgroup.directory("cpuacct"), &v2) {
        (Some((dir, _)), _) => {
            stats.cpu = cpu_v1(&dir);
            if let Some((dir, _)) = cgroup.directory("cpu") {
                throttling_v1(&dir, &mut stats.cpu);
            }
        }
        // Processor time is accounted on v2 even where its controller is not enabled.
        (None, Some(dir)) => stats.cpu = cpu_v2(dir),
        (None, None) => {}
    }
    match cgroup.directory("memory") {
        Some((dir, true)) => stats.memory = memory_v2(&dir),
        Some((dir, false)) => stats.memory = memory_v1(&dir),
        None => {}
    }
    if let Some((dir, _)) = cgroup.directory("pids") {
        stats.pids = PidsStats { current: number(&dir, "pids.current").unwrap_or(0), limit: number(&dir, "pids.max") };
    }
    if let Some((dir, _)) = cgroup.directory("io") {
        stats.blkio = io_v2(&text(&dir, "io.stat"));
    } else if let Some((dir, _)) = cgroup.directory("blkio") {
        stats.blkio = blkio_v1(&dir);
    }
    if let Some((dir, v2)) = cgroup.directory("hugetlb") {
        stats.hugetlb = hugetlb(&dir, v2);
    }
    Ok(stats)
}

fn text(dir: &Path, file: &str) -> String {
    std::fs::read_to_string(dir.join(file)).unwrap_or_default()
}

/// A file with one number; `None` also for `max`.
fn number(dir: &Path, file: &str) -> Option<u64> {
    text(dir, file).trim().parse().ok()
}

/// A file with a name and a number on each line.
fn table(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, number)| Some((name.to_owned(), number.trim().parse().ok()?)))
        .collect()
}

fn entry(table: &BTreeMap<String, u64>, name: &str) -> u64 {
    table.get(name).copied().unwrap_or(0)
}

fn cpu_v1(dir: &Path) -> CpuStats {
    let per_cpu = text(dir, "cpuacct.usage_percpu");
    CpuStats {
        usage: number(dir, "cpuacct.usage").unwrap_or(0),
        user: number(dir, "cpuacct.usage_user").unwrap_or(0),
        system: number(dir, "cpuacct.usage_sys").unwrap_or(0),
        per_cpu: per_cpu.split_whitespace().filter_map(|time| time.parse().ok()).collect(),
        ..CpuStats::default()
    }
}

fn throttling_v1(dir: &Path, cpu: &mut CpuStats) {
    let stat = table(&text(dir, "cpu.stat"));
    cpu.periods = entry(&stat, "nr_periods");
    cpu.throttled_periods = entry(&stat, "nr_throttled");
    cpu.throttled = entry(&stat, "throttled_time");
}

fn cpu_v2(dir: &Path) -> CpuStats {
    let stat = table(&text(dir, "cpu.stat"));
    let nanoseconds = |name: &str| entry(&stat, name).saturating_mul(1000);
    CpuStats {
        usage: nanoseconds("usage_usec"),
        user: nanoseconds("user_usec"),
        system: nanoseconds("system_usec"),
        per_cpu: Vec::new(),
        periods: entry(&stat, "nr_periods"),
        throttled_periods: entry(&stat, "nr_throttled"),
        throttled: nanoseconds("throttled_usec"),
    }
}

/// v1 has no word for no limit, only the largest number of pages.
const UNLIMITED_V1: u64 = 0x7fff_ffff_ffff_0000;

fn memory_v1(dir: &Path) -> MemoryStats {
    let usage = number(dir, "memory.usage_in_bytes").unwrap_or(0);
    let oom = table(&text(dir, "memory.oom_control"));
    let stat = table(&text(dir, "memory.stat"));
    MemoryStats {
        usage,
        max_usage: number(dir, "memory.max_usage_in_bytes"),
        limit: number(dir, "memory.limit_in_bytes").filter(|limit| *limit < UNLIMITED_V1),
        swap: entry(&stat, "swap"),
        failures: number(dir, "memory.failcnt").unwrap_or(0),
        oom_kills: entry(&oom, "oom_kill"),
        stat,
    }
}

fn memory_v2(dir: &Path) -> MemoryStats {
    let events = table(&text(dir, "memory.events"));
    MemoryStats {
        usage: number(dir, "memory.current").unwrap_or(0),
        max_usage: number(dir, "memory.peak"),
        limit: number(dir, "memory.max"),
        swap: number(dir, "memory.swap.current").unwrap_or(0),
        failures: entry(&events, "max"),
        oom_kills: entry(&events, "oom_kill"),
        stat: table(&text(dir, "memory.stat")),
    }
}

fn device_number(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`
fn io_v2(text: &str) -> BlkioStats {
    let device = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = device_number(words.next()?)?;
        let mut device = DeviceIo { major, minor, ..DeviceIo::default() };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or(0);
            match key {
                "rbytes" => device.read_bytes = value,
                "wbytes" => device.write_bytes = value,
                "rios" => device.reads = value,
                "wios" => device.writes = value,
                _ => {}
            }
        }
        Some(device)
    };
    BlkioStats { devices: text.lines().filter_map(device).collect() }
}

fn blkio_v1(dir: &Path) -> BlkioStats {
    // The scheduler's own counts know cgroups below; the throttling layer's are there with every scheduler.
    let first = |names: [&str; 2]| names.into_iter().map(|name| text(dir, name)).find(|text| text.contains(':'));
    let bytes = first(["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"]);
    let requests = first(["blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced"]);
    merge_blkio_v1(&bytes.unwrap_or_default(), &requests.unwrap_or_default())
}

/// Lines of `8:0 Read 123`.
fn merge_blkio_v1(bytes: &str, requests: &str) -> BlkioStats {
    let mut devices: BTreeMap<(u64, u64), DeviceIo> = BTreeMap::new();
    for (text, counts_bytes) in [(bytes, true), (requests, false)] {
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [number, operation, value] = words.as_slice() else { continue };
            let (Some((major, minor)), Ok(value)) = (device_number(number), value.parse()) else { continue };
            let device = devices.entry((major, minor)).or_default();
            (device.major, device.minor) = (major, minor);
            match (*operation, counts_bytes) {
                ("Read", true) => device.read_bytes = value,
                ("Write", true) => device.write_bytes = value,
                ("Read", false) => device.reads = value,
                ("Write", false) => device.writes = value,
                _ => {}
            }
        }
    }
    BlkioStats { devices: devices.into_values().collect() }
}

fn hugetlb(dir: &Path, v2: bool) -> BTreeMap<String, HugetlbStats> {
    let suffix = if v2 { ".current" } else { ".usage_in_bytes" };
    let mut pages = BTreeMap::new();
    for entry_name in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name()) {
        let size = entry_name
            .to_str()
            .and_then(|name| name.strip_prefix("hugetlb.")?.strip_suffix(suffix))
            .filter(|size| !size.contains('.'));
        let Some(size) = size else { continue };
        let usage = number(dir, &format!("hugetlb.{size}{suffix}")).unwrap_or(0);
        let (max, failures) = if v2 {
            (usage, entry(&table(&text(dir, &format!("hugetlb.{size}.events"))), "max"))
        } else {
            (
                number(dir, &format!("hugetlb.{size}.max_usage_in_bytes")).unwrap_or(usage),
                number(dir, &format!("hugetlb.{size}.failcnt")).unwrap_or(0),
            )
        };
        pages.insert(size.to_owned(), HugetlbStats { usage, max, failures });
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_devices_on_both_versions() {
        let expected = [DeviceIo { major: 8, minor: 16, read_bytes: 1, write_bytes: 2, reads: 3, writes: 4 }];
        let v2 = io_v2("8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\nbroken\n");
        assert_eq!(v2.devices, expected);
        let v1 = merge_blkio_v1("8:16 Read 1\n8:16 Write 2\n8:16 Sync 9\nTotal 3\n", "8:16 Read 3\n8:16 Write 4\n");
        assert_eq!(v1.devices, expected);
    }

    #[test]
    fn tables_have_a_number_a_line() {
        let table = table("cache 10\nrss 20\nodd\nx y\n");
        assert_eq!((entry(&table, "cache"), entry(&table, "rss"), entry(&table, "x")), (10, 20, 0));
    }
}
