//! What a container uses, out of its counters.

use hoist_proto::{spec::DeviceFigures, unit};
use serde::Deserialize;

use super::stats::Interfaces;
use crate::cli::format::Row;

/// The answer of `GET /containers/{id}/stats`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Stats {
    id: String,
    name: String,
    cpu_stats: Cpu,
    precpu_stats: Cpu,
    memory_stats: Memory,
    networks: Option<Interfaces>,
    blkio_stats: Blkio,
    pids_stats: Pids,
    hoist_devices: Vec<DeviceFigures>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Cpu {
    cpu_usage: CpuUsage,
    system_cpu_usage: u64,
    online_cpus: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct CpuUsage {
    total_usage: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Memory {
    usage: u64,
    limit: u64,
    stats: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Blkio {
    io_service_bytes_recursive: Option<Vec<BlkioEntry>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct BlkioEntry {
    op: String,
    value: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Pids {
    current: u64,
}

impl Stats {
    /// Percent of one processor.
    fn cpu(&self) -> f64 {
        let used = self.cpu_stats.cpu_usage.total_usage.saturating_sub(self.precpu_stats.cpu_usage.total_usage);
        let system = self.cpu_stats.system_cpu_usage.saturating_sub(self.precpu_stats.system_cpu_usage);
        if system == 0 {
            return 0.0;
        }
        used as f64 / system as f64 * self.cpu_stats.online_cpus.max(1) as f64 * 100.0
    }

    /// Without the page cache that can be given back: v1 has `total_inactive_file`, v2 `inactive_file`.
    fn memory(&self) -> u64 {
        let cache = ["total_inactive_file", "inactive_file"]
            .iter()
            .find_map(|key| self.memory_stats.stats.get(*key)?.as_u64())
            .unwrap_or(0);
        self.memory_stats.usage.checked_sub(cache).unwrap_or(self.memory_stats.usage)
    }

    /// Whether it has devices of which something is known.
    pub fn has_devices(&self) -> bool {
        !self.hoist_devices.is_empty()
    }

    /// The mean of what its devices work, and their memory that is used.
    fn devices(&self) -> (String, String) {
        let known: Vec<u32> = self.hoist_devices.iter().filter_map(|one| one.utilisation).collect();
        let mean = (!known.is_empty()).then(|| f64::from(known.iter().sum::<u32>()) / known.len() as f64);
        let sum = |of: fn(&DeviceFigures) -> Option<u64>| self.hoist_devices.iter().filter_map(of).sum::<u64>();
        let (used, all) = (sum(|one| one.memory_used), sum(|one| one.memory_total));
        let memory = match (used, all) {
            (0, 0) => "--".to_owned(),
            (used, 0) => unit::format_bytes_binary(used),
            (used, all) => format!("{} / {}", unit::format_bytes_binary(used), unit::format_bytes_binary(all)),
        };
        (mean.map_or("--".to_owned(), |mean| format!("{mean:.2}%")), memory)
    }

    fn blocks(&self) -> (u64, u64) {
        let sum = |op: &str| {
            let entries = self.blkio_stats.io_service_bytes_recursive.iter().flatten();
            entries.filter(|entry| entry.op.eq_ignore_ascii_case(op)).map(|entry| entry.value).sum()
        };
        (sum("read"), sum("write"))
    }
}

/// A container as templates see it; `asked` is what was typed.
pub fn row(asked: &str, stats: &Stats, short: impl Fn(&str) -> String) -> Row {
    let (rx, tx) = stats
        .networks
        .iter()
        .flat_map(|networks| networks.values())
        .fold((0, 0), |(rx, tx), interface| (rx + interface.rx_bytes, tx + interface.tx_bytes));
    let (read, written) = stats.blocks();
    let (memory, limit) = (stats.memory(), stats.memory_stats.limit);
    let share = if limit > 0 { memory as f64 / limit as f64 * 100.0 } else { 0.0 };
    let (gpu, gpu_memory) = if stats.has_devices() { stats.devices() } else { Default::default() };
    Row::new()
        .set("GPUPerc", gpu)
        .set("GPUMem", gpu_memory)
        .set("BlockIO", format!("{} / {}", unit::format_bytes_short(read), unit::format_bytes_short(written)))
        .set("CPUPerc", format!("{:.2}%", stats.cpu()))
        .set("Container", asked)
        .set("ID", short(&stats.id))
        .set("MemPerc", format!("{share:.2}%"))
        .set("MemUsage", format!("{} / {}", unit::format_bytes_binary(memory), unit::format_bytes_binary(limit)))
        .set("Name", stats.name.trim_start_matches('/'))
        .set("NetIO", format!("{} / {}", unit::format_bytes_short(rx), unit::format_bytes_short(tx)))
        .set("PIDs", stats.pids_stats.current.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_become_shares() {
        let stats: Stats = serde_json::from_value(serde_json::json!({
            "id": "0123456789abcdef", "name": "/web",
            "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
            "memory_stats": {"usage": 3145728, "limit": 104857600, "stats": {"inactive_file": 1048576}},
            "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 2000}},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 5000}, {"op": "write", "value": 0}]},
            "pids_stats": {"current": 3}
        }))
        .unwrap();
        let list = crate::cli::format::List { headings: &[], columns: "", quiet: "", may_cut: &[] };
        let format = "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.NetIO}} {{.BlockIO}} {{.PIDs}}";
        assert_eq!(
            list.render(Some(format), false, None, vec![row("web", &stats, str::to_owned)]).unwrap(),
            "web 40.00% 2MiB / 100MiB 2.00% 1kB / 2kB 5kB / 0B 3\n"
        );
    }
}
