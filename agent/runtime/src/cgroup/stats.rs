//! What a container has used, the same shape on v1 and v2.

use serde::Serialize;

/// What the processes of a cgroup have used.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CgroupStats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Processes and threads.
    pub pids: PidsStats,
    /// Block devices.
    pub blkio: BlkioStats,
    /// Huge pages, by page size.
    pub hugetlb: std::collections::BTreeMap<String, HugetlbStats>,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HugetlbStats {
    /// Now.
    pub usage: u64,
    /// The highest usage seen.
    pub max: u64,
    /// How often the limit was hit.
    pub failures: u64,
}

/// Processor time, all in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CpuStats {
    /// Total.
    pub usage: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// Per processor; empty where the kernel does not tell (v2).
    pub per_cpu: Vec<u64>,
    /// Enforcement periods that have passed.
    pub periods: u64,
    /// Periods in which the quota ran out.
    pub throttled_periods: u64,
    /// Time spent waiting for quota.
    pub throttled: u64,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MemoryStats {
    /// All memory charged, page cache included.
    pub usage: u64,
    /// The highest usage seen, where the kernel tells.
    pub max_usage: Option<u64>,
    /// The limit; `None` is no limit.
    pub limit: Option<u64>,
    /// Swap in use.
    pub swap: u64,
    /// How often the limit was hit.
    pub failures: u64,
    /// Processes killed for want of memory.
    pub oom_kills: u64,
    /// `memory.stat` as the kernel gives it, names included.
    pub stat: std::collections::BTreeMap<String, u64>,
}

/// Processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PidsStats {
    /// Now.
    pub current: u64,
    /// The limit; `None` is no limit.
    pub limit: Option<u64>,
}

/// Block devices.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BlkioStats {
    /// One entry a device that was used.
    pub devices: Vec<DeviceIo>,
}

/// Use of one block device.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeviceIo {
    /// Device number.
    pub major: u64,
    /// Device number.
    pub minor: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Read requests.
    pub reads: u64,
    /// Write requests.
    pub writes: u64,
}
