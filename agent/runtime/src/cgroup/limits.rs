//! Resource limits: decided as a list of writes, then written.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use super::{Cgroup, CgroupError, devices, read, write};

/// One file of one controller, and what to write to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub controller: &'static str,
    pub file: String,
    pub value: String,
    /// What it is for, as the spec calls it.
    pub what: &'static str,
}

/// The writes that `resources` needs, devices apart. `v2` tells which kind of hierarchy a controller is in.
pub(crate) fn plan(resources: &LinuxResources, v2: impl Fn(&str) -> bool) -> Result<Vec<Write>, CgroupError> {
    let mut writes = Writes(Vec::new());
    if let Some(cpu) = resources.cpu() {
        writes.cpu(cpu, v2("cpu"))?;
    }
    if let Some(memory) = resources.memory() {
        if v2("memory") { writes.memory_v2(memory)? } else { writes.memory_v1(memory)? }
    }
    if let Some(pids) = resources.pids() {
        let limit = if pids.limit() > 0 { pids.limit().to_string() } else { "max".into() };
        writes.add("pids", "pids.max", limit, "pids.limit");
    }
    if let Some(block) = resources.block_io() {
        if v2("io") { writes.block_v2(block)? } else { writes.block_v1(block) }
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        let size = limit.page_size();
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(value("hugepageLimits.pageSize", format!("{size:?} is no size")));
        }
        let (suffix, none) = if v2("hugetlb") { ("max", "max") } else { ("limit_in_bytes", "-1") };
        let bytes = if limit.limit() < 0 { none.to_owned() } else { limit.limit().to_string() };
        writes.add("hugetlb", &format!("hugetlb.{size}.{suffix}"), bytes, "hugepageLimits");
    }
    for (device, limits) in resources.rdma().iter().flatten() {
        let part = |name: &str, limit: Option<u32>| limit.map(|limit| format!(" {name}={limit}")).unwrap_or_default();
        let text =
            format!("{device}{}{}", part("hca_handle", limits.hca_handles()), part("hca_object", limits.hca_objects()));
        writes.add("rdma", "rdma.max", text, "rdma");
    }
    if let Some(network) = resources.network() {
        if let Some(class) = network.class_id() {
            writes.add("net_cls", "net_cls.classid", class.to_string(), "network.classID");
        }
        for priority in network.priorities().iter().flatten() {
            let text = format!("{} {}", priority.name(), priority.priority());
            writes.add("net_prio", "net_prio.ifpriomap", text, "network.priorities");
        }
    }
    Ok(writes.0)
}

struct Writes(Vec<Write>);

fn value(what: &'static str, why: impl Into<String>) -> CgroupError {
    CgroupError::Value { what, why: why.into() }
}

/// The weight on v2 (1 to 10000, usual 100) for shares on v1 (2 to 262144, usual 1024): a curve through both
/// ends and the middle.
pub(crate) fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            10f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil() as u64
        }
    }
}

impl Writes {
    fn add(&mut self, controller: &'static str, file: &str, value: impl Into<String>, what: &'static str) {
        self.0.push(Write { controller, file: file.to_owned(), value: value.into(), what });
    }

    fn cpu(&mut self, cpu: &LinuxCpu, v2: bool) -> Result<(), CgroupError> {
        if let Some(idle) = cpu.idle() {
            self.add("cpu", "cpu.idle", idle.to_string(), "cpu.idle");
        }
        // An idle cgroup has no weight of its own.
        if let Some(shares) = cpu.shares().filter(|shares| *shares != 0 && cpu.idle().unwrap_or(0) == 0) {
            if v2 {
                self.add("cpu", "cpu.weight", weight_of_shares(shares).to_string(), "cpu.shares");
            } else {
                self.add("cpu", "cpu.shares", shares.to_string(), "cpu.shares");
            }
        }
        if let (Some(burst), Some(quota)) = (cpu.burst(), cpu.quota())
            && quota > 0
            && burst > quota.unsigned_abs()
        {
            return Err(value("cpu.burst", format!("{burst} is more than the quota of {quota}")));
        }
        let period = cpu.period().filter(|period| *period != 0);
        let quota = cpu.quota().filter(|quota| *quota != 0);
        if v2 {
            if quota.is_some() || period.is_some() {
                let quota = quota.filter(|quota| *quota > 0).map_or("max".into(), |quota| quota.to_string());
                self.add("cpu", "cpu.max", format!("{quota} {}", period.unwrap_or(100_000)), "cpu.quota");
            }
            if cpu.realtime_runtime().is_some_and(|time| time != 0)
                || cpu.realtime_period().is_some_and(|time| time != 0)
            {
                return Err(CgroupError::NoController { what: "cpu.realtimeRuntime", controller: "realtime cpu (v1)" });
            }
            if let Some(burst) = cpu.burst() {
                self.add("cpu", "cpu.max.burst", burst.to_string(), "cpu.burst");
            }
        } else {
            if let Some(period) = period {
                self.add("cpu", "cpu.cfs_period_us", period.to_string(), "cpu.period");
            }
            if let Some(quota) = quota {
                self.add("cpu", "cpu.cfs_quota_us", quota.max(-1).to_string(), "cpu.quota");
            }
            if let Some(burst) = cpu.burst() {
                self.add("cpu", "cpu.cfs_burst_us", burst.to_string(), "cpu.burst");
            }
            if let Some(period) = cpu.realtime_period().filter(|period| *period != 0) {
                self.add("cpu", "cpu.rt_period_us", period.to_string(), "cpu.realtimePeriod");
            }
            if let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) {
                self.add("cpu", "cpu.rt_runtime_us", runtime.to_string(), "cpu.realtimeRuntime");
            }
        }
        for (list, file, what) in [(cpu.cpus(), "cpuset.cpus", "cpu.cpus"), (cpu.mems(), "cpuset.mems", "cpu.mems")] {
            if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
                self.add("cpuset", file, list, what);
            }
        }
        Ok(())
    }

    fn memory_v1(&mut self, memory: &LinuxMemory) -> Result<(), CgroupError> {
        check_memory(memory)?;
        let amount = |bytes: i64| bytes.max(-1).to_string();
        if let Some(limit) = memory.limit().filter(|limit| *limit != 0) {
            self.add("memory", "memory.limit_in_bytes", amount(limit), "memory.limit");
        }
        if let Some(swap) = memory.swap().filter(|swap| *swap != 0) {
            self.add("memory", "memory.memsw.limit_in_bytes", amount(swap), "memory.swap");
        }
        if let Some(reservation) = memory.reservation().filter(|reservation| *reservation != 0) {
            self.add("memory", "memory.soft_limit_in_bytes", amount(reservation), "memory.reservation");
        }
        if let Some(limit) = memory.kernel_tcp().filter(|limit| *limit != 0) {
            self.add("memory", "memory.kmem.tcp.limit_in_bytes", amount(limit), "memory.kernelTCP");
        }
        if let Some(swappiness) = memory.swappiness() {
            self.add("memory", "memory.swappiness", swappiness.to_string(), "memory.swappiness");
        }
        if let Some(disable) = memory.disable_oom_killer() {
            self.add("memory", "memory.oom_control", u8::from(disable).to_string(), "memory.disableOOMKiller");
        }
        if memory.use_hierarchy() == Some(true) {
            self.add("memory", "memory.use_hierarchy", "1", "memory.useHierarchy");
        }
        Ok(())
    }

    fn memory_v2(&mut self, memory: &LinuxMemory) -> Result<(), CgroupError> {
        check_memory(memory)?;
        let amount = |bytes: i64| {
            if bytes < 0 { "max".to_owned() } else { bytes.to_string() }
        };
        let limit = memory.limit().filter(|limit| *limit != 0);
        // On v2 swap has a limit of its own, where the specification has one for the sum.
        match (memory.swap().filter(|swap| *swap != 0), limit) {
            (Some(swap), _) if swap < 0 => self.add("memory", "memory.swap.max", "max", "memory.swap"),
            (Some(swap), Some(limit)) if limit > 0 => {
                self.add("memory", "memory.swap.max", (swap - limit).to_string(), "memory.swap");
            }
            (Some(_), _) => {
                return Err(value("memory.swap", "it needs memory.limit, as it is the limit of the sum"));
            }
            (None, _) => {}
        }
        if let Some(limit) = limit {
            self.add("memory", "memory.max", amount(limit), "memory.limit");
        }
        if let Some(reservation) = memory.reservation().filter(|reservation| *reservation != 0) {
            self.add("memory", "memory.low", amount(reservation), "memory.reservation");
        }
        let only_v1 = |what| Err(CgroupError::NoController { what, controller: "v1 memory" });
        if memory.swappiness().is_some() {
            return only_v1("memory.swappiness");
        }
        if memory.disable_oom_killer() == Some(true) {
            return only_v1("memory.disableOOMKiller");
        }
        if memory.kernel_tcp().is_some_and(|limit| limit > 0) {
            return only_v1("memory.kernelTCP");
        }
        Ok(())
    }

    fn block_v1(&mut self, block: &LinuxBlockIo) {
        if let Some(weight) = block.weight().filter(|weight| *weight != 0) {
            self.add("blkio", "blkio.bfq.weight|blkio.weight", weight.to_string(), "blockIO.weight");
        }
        if let Some(weight) = block.leaf_weight().filter(|weight| *weight != 0) {
            self.add("blkio", "blkio.leaf_weight", weight.to_string(), "blockIO.leafWeight");
        }
        for device in block.weight_device().iter().flatten() {
            let number = format!("{}:{}", device.major(), device.minor());
            if let Some(weight) = device.weight() {
                let files = "blkio.bfq.weight_device|blkio.weight_device";
                self.add("blkio", files, format!("{number} {weight}"), "blockIO.weightDevice");
            }
            if let Some(weight) = device.leaf_weight() {
                self.add("blkio", "blkio.leaf_weight_device", format!("{number} {weight}"), "blockIO.weightDevice");
            }
        }
        for (list, file, _, what) in throttles(block) {
            for limit in list {
                let text = format!("{}:{} {}", limit.major(), limit.minor(), limit.rate());
                self.add("blkio", file, text, what);
            }
        }
    }

    fn block_v2(&mut self, block: &LinuxBlockIo) -> Result<(), CgroupError> {
        let only_v1 = |what| Err(CgroupError::NoController { what, controller: "v1 blkio" });
        if block.leaf_weight().is_some_and(|weight| weight != 0) {
            return only_v1("blockIO.leafWeight");
        }
        if let Some(weight) = block.weight().filter(|weight| *weight != 0) {
            self.add("io", "io.bfq.weight|io.weight", weight.to_string(), "blockIO.weight");
        }
        for device in block.weight_device().iter().flatten() {
            if device.leaf_weight().is_some() {
                return only_v1("blockIO.weightDevice.leafWeight");
            }
            if let Some(weight) = device.weight() {
                let text = format!("{}:{} {weight}", device.major(), device.minor());
                self.add("io", "io.bfq.weight|io.weight", text, "blockIO.weightDevice");
            }
        }
        for (list, _, key, what) in throttles(block) {
            for limit in list {
                let rate = if limit.rate() == 0 { "max".to_owned() } else { limit.rate().to_string() };
                self.add("io", "io.max", format!("{}:{} {key}={rate}", limit.major(), limit.minor()), what);
            }
        }
        Ok(())
    }
}

fn check_memory(memory: &LinuxMemory) -> Result<(), CgroupError> {
    if memory.kernel().is_some_and(|limit| limit > 0) {
        return Err(value("memory.kernel", "kernels no longer have this limit"));
    }
    if memory.swappiness().is_some_and(|swappiness| swappiness > 100) {
        return Err(value("memory.swappiness", "it is more than 100"));
    }
    if let (Some(limit), Some(swap)) = (memory.limit(), memory.swap())
        && limit > 0
        && swap > 0
        && swap < limit
    {
        return Err(value(
            "memory.swap",
            format!("{swap} is less than memory.limit {limit}, and it is the limit of the sum"),
        ));
    }
    Ok(())
}

/// The four throttles: list, file on v1, key of `io.max` on v2, name.
fn throttles(
    block: &LinuxBlockIo,
) -> [(impl Iterator<Item = &LinuxThrottleDevice>, &'static str, &'static str, &'static str); 4] {
    [
        (
            block.throttle_read_bps_device().iter().flatten(),
            "blkio.throttle.read_bps_device",
            "rbps",
            "blockIO.throttleReadBpsDevice",
        ),
        (
            block.throttle_write_bps_device().iter().flatten(),
            "blkio.throttle.write_bps_device",
            "wbps",
            "blockIO.throttleWriteBpsDevice",
        ),
        (
            block.throttle_read_iops_device().iter().flatten(),
            "blkio.throttle.read_iops_device",
            "riops",
            "blockIO.throttleReadIOPSDevice",
        ),
        (
            block.throttle_write_iops_device().iter().flatten(),
            "blkio.throttle.write_iops_device",
            "wiops",
            "blockIO.throttleWriteIOPSDevice",
        ),
    ]
}

/// Applies what `resources` names.
pub(super) fn apply(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), CgroupError> {
    let layout = cgroup.layout();
    // On v2 the controller of block devices is `io`; `v2("io")` asks where block devices are limited.
    let writes = plan(resources, |controller| match controller {
        "cpu" | "memory" | "hugetlb" | "io" => {
            layout.with(controller).map_or_else(|| layout.pure_v2().is_some(), super::Hierarchy::is_v2)
        }
        _ => layout.pure_v2().is_some(),
    })?;
    if resources.memory().as_ref().and_then(oci_spec::runtime::LinuxMemory::check_before_update) == Some(true) {
        check_usage(cgroup, resources)?;
    }
    if let Some(rules) = resources.devices() {
        devices::apply(cgroup, rules)?;
    }
    write_all(cgroup, &writes)?;
    for (file, text) in resources.unified().iter().flatten() {
        unified(cgroup, file, text)?;
    }
    Ok(())
}

/// Refuses a memory limit below what is in use, which v2 would enforce by killing.
fn check_usage(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), CgroupError> {
    let limit = resources.memory().as_ref().and_then(oci_spec::runtime::LinuxMemory::limit).filter(|limit| *limit > 0);
    let (Some(limit), Some((dir, true))) = (limit, cgroup.directory("memory")) else {
        return Ok(());
    };
    let usage: i64 = read(&dir.join("memory.current"))?.trim().parse().unwrap_or(0);
    if limit < usage {
        return Err(value("memory.limit", format!("{limit} is less than the {usage} bytes in use")));
    }
    Ok(())
}

fn write_all(cgroup: &Cgroup, writes: &[Write]) -> Result<(), CgroupError> {
    let mut postponed: Vec<(PathBuf, &Write)> = Vec::new();
    for write_one in writes {
        let Some((dir, _)) = cgroup.directory(write_one.controller) else {
            return Err(CgroupError::NoController { what: write_one.what, controller: write_one.controller });
        };
        // Kernels differ in the name of some files; the first that exists is meant.
        let file = write_one.file.split('|').map(|name| dir.join(name)).find(|file| file.exists());
        let Some(file) = file else {
            return Err(CgroupError::NoController { what: write_one.what, controller: write_one.controller });
        };
        let value = scaled(write_one, &file);
        match write(&file, &value) {
            Ok(()) => {}
            // A limit and the limit of a sum that contains it may have to change in the other order, and so
            // may a quota and its period.
            Err(_) if is_pair(&write_one.file) => postponed.push((file, write_one)),
            Err(error) => return Err(error),
        }
    }
    postponed.into_iter().try_for_each(|(file, again)| write(&file, &again.value))
}

fn is_pair(file: &str) -> bool {
    matches!(
        file,
        "memory.limit_in_bytes" | "cpu.cfs_period_us" | "cpu.cfs_quota_us" | "cpu.rt_period_us" | "cpu.rt_runtime_us"
    )
}

/// `io.weight` goes from 1 to 10000 where `bfq` and the specification go from 10 to 1000.
fn scaled(one: &Write, file: &std::path::Path) -> String {
    if !file.ends_with("io.weight") {
        return one.value.clone();
    }
    let (device, weight) = one.value.rsplit_once(' ').unwrap_or(("default", &one.value));
    let weight: u64 = weight.parse().unwrap_or(100);
    format!("{device} {}", 1 + weight.clamp(10, 1000).saturating_sub(10) * 9999 / 990)
}

/// A file of the unified hierarchy by its name.
fn unified(cgroup: &Cgroup, file: &str, text: &str) -> Result<(), CgroupError> {
    if file.is_empty() || file.contains('/') || file == ".." || file == "." {
        return Err(value("unified", format!("{file:?} is no name of a file")));
    }
    let Some(hierarchy) = cgroup.layout().v2() else {
        return Err(CgroupError::NoController { what: "unified", controller: "v2" });
    };
    let dir = hierarchy.directory(cgroup.path());
    text.lines().try_for_each(|line| write(&dir.join(file), line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(json: &str) -> LinuxResources {
        serde_json::from_str(json).unwrap()
    }

    fn written(json: &str, v2: bool) -> Vec<String> {
        let writes = plan(&resources(json), |_| v2).unwrap();
        writes.into_iter().map(|one| format!("{}={}", one.file, one.value)).collect()
    }

    #[test]
    fn shares_become_weights() {
        assert_eq!([2, 1024, 262_144].map(weight_of_shares), [1, 100, 10_000]);
        assert!(weight_of_shares(512) < 100 && weight_of_shares(2048) > 100);
    }

    #[test]
    fn the_same_limits_on_both_versions() {
        let json = r#"{"cpu":{"shares":1024,"quota":50000,"period":100000,"cpus":"0-1"},
            "memory":{"limit":1000,"swap":3000,"reservation":500},"pids":{"limit":7}}"#;
        assert_eq!(
            written(json, false),
            [
                "cpu.shares=1024",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=50000",
                "cpuset.cpus=0-1",
                "memory.limit_in_bytes=1000",
                "memory.memsw.limit_in_bytes=3000",
                "memory.soft_limit_in_bytes=500",
                "pids.max=7"
            ]
        );
        assert_eq!(
            written(json, true),
            [
                "cpu.weight=100",
                "cpu.max=50000 100000",
                "cpuset.cpus=0-1",
                "memory.swap.max=2000",
                "memory.max=1000",
                "memory.low=500",
                "pids.max=7"
            ]
        );
    }

    #[test]
    fn no_limit_is_said_in_each_versions_words() {
        let json = r#"{"cpu":{"quota":-1},"memory":{"limit":-1,"swap":-1},"pids":{"limit":-1}}"#;
        assert_eq!(
            written(json, false),
            ["cpu.cfs_quota_us=-1", "memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1", "pids.max=max"]
        );
        assert_eq!(
            written(json, true),
            ["cpu.max=max 100000", "memory.swap.max=max", "memory.max=max", "pids.max=max"]
        );
    }

    #[test]
    fn contradictions_are_refused() {
        for json in [
            r#"{"memory":{"limit":1000,"swap":10}}"#,
            r#"{"memory":{"kernel":10}}"#,
            r#"{"memory":{"swappiness":101}}"#,
            r#"{"cpu":{"quota":10,"burst":20}}"#,
            r#"{"hugepageLimits":[{"pageSize":"../x","limit":1}]}"#,
        ] {
            assert!(plan(&resources(json), |_| false).is_err(), "{json}");
        }
        assert!(plan(&resources(r#"{"memory":{"swap":10}}"#), |_| true).is_err());
    }

    #[test]
    fn block_devices() {
        let json = r#"{"blockIO":{"weight":500,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":600}]}}"#;
        assert_eq!(
            written(json, false),
            ["blkio.bfq.weight|blkio.weight=500", "blkio.throttle.read_bps_device=8:0 600"]
        );
        assert_eq!(written(json, true), ["io.bfq.weight|io.weight=500", "io.max=8:0 rbps=600"]);
    }
}
