//! Limits, reservations and devices.

use serde::{Deserialize, Serialize};

/// What a container may use and what it is promised.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Billionths of a CPU.
    pub nano_cpus: Option<u64>,
    pub cpu_shares: Option<u64>,
    pub cpu_period: Option<u64>,
    pub cpu_quota: Option<i64>,
    pub cpu_rt_runtime: Option<i64>,
    pub cpu_rt_period: Option<u64>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Soft limit, bytes.
    pub memory_reservation: Option<u64>,
    /// Memory plus swap, bytes; -1 is unlimited.
    pub memory_swap: Option<i64>,
    /// 0 to 100.
    pub memory_swappiness: Option<u64>,
    /// -1 is unlimited.
    pub pids: Option<i64>,
    /// 10 to 1000.
    pub blkio_weight: Option<u16>,
    pub blkio_weight_device: Vec<(String, u16)>,
    /// `(device path, bytes a second)`.
    pub device_read_bps: Vec<(String, u64)>,
    pub device_write_bps: Vec<(String, u64)>,
    pub device_read_iops: Vec<(String, u64)>,
    pub device_write_iops: Vec<(String, u64)>,
    pub cgroup_parent: Option<String>,
    pub devices: Vec<DeviceMapping>,
    /// `c 1:3 rwm`.
    pub device_cgroup_rules: Vec<String>,
    /// Devices to be chosen for the container: GPUs, CDI names, generic resources.
    pub device_requests: Vec<DeviceRequest>,
    /// What the scheduler sets aside: billionths of a CPU, and bytes.
    pub reserved_nano_cpus: Option<u64>,
    pub reserved_memory: Option<u64>,
    /// Generic resources set aside on the node, by kind: `--generic-resource gpu=2`.
    pub reserved_generic: std::collections::BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceMapping {
    pub host: String,
    pub container: String,
    /// Some of `r`, `w`, `m`; empty is all three.
    pub permissions: String,
}

impl Resources {
    /// Everything that is asked for of a node's devices: the requests, then the generic resources, each by the word
    /// that a kind has for a capability.
    pub fn all_requests(&self) -> Vec<DeviceRequest> {
        let generic =
            self.reserved_generic.iter().filter(|(_, count)| **count > 0).map(|(kind, count)| DeviceRequest {
                count: Some(i64::try_from(*count).unwrap_or(i64::MAX)),
                capabilities: vec![vec![kind.clone()]],
                ..DeviceRequest::default()
            });
        self.device_requests.iter().cloned().chain(generic).collect()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceRequest {
    pub driver: Option<String>,
    /// -1 is all.
    pub count: Option<i64>,
    pub device_ids: Vec<String>,
    /// Any of the outer lists, all of its inner ones.
    pub capabilities: Vec<Vec<String>>,
    pub options: std::collections::BTreeMap<String, String>,
}

impl DeviceRequest {
    /// What it is about, in words: `gpu`, `gpu with memory=40g, model=a100`, `gpu (0, 2)`.
    pub fn what(&self) -> String {
        let kind = self.capabilities.iter().flatten().next().or(self.driver.as_ref());
        let mut text = kind.map_or("device", String::as_str).to_owned();
        if !self.device_ids.is_empty() {
            text.push_str(&format!(" ({})", self.device_ids.join(", ")));
        }
        if !self.options.is_empty() {
            let options: Vec<String> = self.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
            text.push_str(&format!(" with {}", options.join(", ")));
        }
        text
    }
}
