//! What a container uses, read from its cgroup and its network namespace.

use std::collections::BTreeMap;

use fs_err as fs;
use hoist_proto::clock::Timestamp;
use hoist_runtime::cgroup::Cgroup;

use crate::Result;
use crate::model::{NetworkStats, Stats};

/// One reading. `own_network` is false for a container in somebody else's network namespace: its traffic is not its own.
pub(crate) fn stats(cgroup: &Cgroup, pid: i32, own_network: bool, now: Timestamp) -> Result<Stats> {
    let networks = if own_network {
        // A process that has ended meanwhile has no traffic any more.
        interfaces(&fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default())
    } else {
        BTreeMap::new()
    };
    Ok(Stats {
        read: now,
        cgroup: cgroup.stats()?,
        system_cpu: machine_cpu(&fs::read_to_string("/proc/stat")?),
        online_cpus: std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1)),
        machine_memory: machine_memory(&fs::read_to_string("/proc/meminfo")?),
        networks,
    })
}

/// Nanoseconds that all processors have spent on anything. The kernel counts in hundredths of a second.
fn machine_cpu(stat: &str) -> u64 {
    let line = stat.lines().find(|line| line.starts_with("cpu ")).unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq; what follows is part of the first two already.
    let ticks: u64 = line.split_whitespace().skip(1).take(7).filter_map(|word| word.parse::<u64>().ok()).sum();
    ticks * 10_000_000
}

fn machine_memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn interfaces(dev: &str) -> BTreeMap<String, NetworkStats> {
    dev.lines()
        .filter_map(|line| {
            let (name, numbers) = line.split_once(':')?;
            let name = name.trim();
            let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            if name == "lo" || numbers.len() < 12 {
                return None;
            }
            Some((
                name.to_owned(),
                NetworkStats {
                    rx_bytes: numbers[0],
                    rx_packets: numbers[1],
                    rx_errors: numbers[2],
                    rx_dropped: numbers[3],
                    tx_bytes: numbers[8],
                    tx_packets: numbers[9],
                    tx_errors: numbers[10],
                    tx_dropped: numbers[11],
                },
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables() {
        assert_eq!(machine_cpu("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1\n"), 280_000_000);
        assert_eq!(machine_memory("MemTotal:       24576 kB\nMemFree: 1 kB\n"), 24576 * 1024);
        let dev = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 10 2 0 1 0 0 0 0 30 4 0 0 0 0 0 0\n";
        let found = interfaces(dev);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["eth0"]);
        assert_eq!((found["eth0"].rx_bytes, found["eth0"].tx_bytes, found["eth0"].rx_dropped), (10, 30, 1));
    }
}
