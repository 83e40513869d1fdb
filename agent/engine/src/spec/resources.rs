//! Limits.

use std::collections::HashMap;

use hoist_proto::spec::{ContainerSpec, Resources};
use serde_json::{Value, json};

use super::{Device, devices, without_nulls};
use crate::{EngineError, Result};

/// Numbers of the block devices that limits name, by path.
pub(crate) type BlockDevices = HashMap<String, (u64, u64)>;

/// One enforcement period in microseconds, the kernel's own default.
const PERIOD: u64 = 100_000;
/// The least memory that a process can start in.
const MEMORY_MIN: u64 = 6 << 20;

/// Limits and device rules as the OCI spec has them.
pub(crate) fn resources(spec: &ContainerSpec, blocks: &BlockDevices, found: &[Device]) -> Result<Value> {
    let mut value = limits(&spec.resources, spec.oom_kill_disable, blocks)?;
    value["devices"] = devices::rules(spec, found)?.into();
    Ok(value)
}

/// Limits alone, as an update changes them.
pub(crate) fn limits(r: &Resources, oom_kill_disable: bool, blocks: &BlockDevices) -> Result<Value> {
    let refuse = |why: String| Err(EngineError::InvalidParameter(why));
    if r.nano_cpus.is_some() && (r.cpu_quota.is_some() || r.cpu_period.is_some()) {
        return refuse("conflicting options: nano CPUs and CPU quota or period cannot both be set".into());
    }
    // What the daemon itself may use is its own affair: containers are in other cgroups.
    let cpus = rustix::thread::sched_getaffinity(None).map_or(1, |set| u64::from(set.count()));
    if r.nano_cpus.is_some_and(|nano| nano > cpus.saturating_mul(1_000_000_000)) {
        return refuse(format!("range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"));
    }
    if r.memory.is_some_and(|bytes| bytes > 0 && bytes < MEMORY_MIN) {
        return refuse("minimum memory limit allowed is 6MB".into());
    }
    if let (Some(memory), Some(reservation)) = (r.memory, r.memory_reservation)
        && memory > 0
        && memory < reservation
    {
        return refuse("minimum memory limit can not be less than memory reservation limit".into());
    }
    if let (Some(memory), Some(swap)) = (r.memory, r.memory_swap)
        && swap > 0
        && swap.unsigned_abs() < memory
    {
        return refuse("minimum memoryswap limit should be larger than memory limit".into());
    }
    if r.memory_swap.is_some_and(|swap| swap > 0) && r.memory.is_none_or(|memory| memory == 0) {
        return refuse("you should always set the memory limit when using the memoryswap limit".into());
    }
    if r.memory_swappiness.is_some_and(|percent| percent > 100) {
        return refuse("invalid memory swappiness: valid range is 0-100".into());
    }
    if r.blkio_weight.is_some_and(|weight| weight != 0 && !(10..=1000).contains(&weight)) {
        return refuse("range of blkio weight is from 10 to 1000".into());
    }
    if r.cpu_period.is_some_and(|period| period != 0 && !(1000..=1_000_000).contains(&period)) {
        return refuse("CPU cfs period can not be less than 1ms or larger than 1s".into());
    }
    if r.cpu_quota.is_some_and(|quota| quota > 0 && quota < 1000) {
        return refuse("CPU cfs quota can not be less than 1ms".into());
    }
    let positive = |value: Option<u64>| value.filter(|value| *value > 0);
    let quota = match r.nano_cpus.filter(|nano| *nano > 0) {
        Some(nano) => Some(i64::try_from(nano / (1_000_000_000 / PERIOD)).unwrap_or(i64::MAX)),
        None => r.cpu_quota.filter(|quota| *quota != 0),
    };
    let period = if r.nano_cpus.is_some_and(|nano| nano > 0) { Some(PERIOD) } else { positive(r.cpu_period) };
    // As with Docker, a memory limit alone allows as much swap again.
    let swap = match (positive(r.memory), r.memory_swap) {
        (_, Some(-1)) => Some(-1),
        (Some(memory), None | Some(0)) => i64::try_from(memory.saturating_mul(2)).ok(),
        (_, swap) => swap.filter(|swap| *swap != 0),
    };
    let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    let throttle = |list: &[(String, u64)]| -> Result<Value> {
        list.iter()
            .map(|(path, rate)| {
                let (major, minor) = block(blocks, path)?;
                Ok(json!({ "major": major, "minor": minor, "rate": rate }))
            })
            .collect()
    };
    let weights: Value = r
        .blkio_weight_device
        .iter()
        .map(|(path, weight)| {
            let (major, minor) = block(blocks, path)?;
            Ok(json!({ "major": major, "minor": minor, "weight": weight }))
        })
        .collect::<Result<_>>()?;
    let mut value = without_nulls(json!({
        "memory": {
            "limit": positive(r.memory),
            "reservation": positive(r.memory_reservation),
            "swap": swap,
            "swappiness": r.memory_swappiness,
            "disableOOMKiller": oom_kill_disable.then_some(true),
        },
        "cpu": {
            "shares": positive(r.cpu_shares),
            "quota": quota,
            "period": period,
            "realtimeRuntime": r.cpu_rt_runtime.filter(|value| *value != 0),
            "realtimePeriod": positive(r.cpu_rt_period),
            "cpus": text(&r.cpuset_cpus),
            "mems": text(&r.cpuset_mems),
        },
        "pids": r.pids.filter(|pids| *pids != 0).map(|limit| json!({ "limit": if limit < 0 { -1 } else { limit } })),
        "blockIO": {
            "weight": r.blkio_weight.filter(|weight| *weight > 0),
            "weightDevice": weights,
            "throttleReadBpsDevice": throttle(&r.device_read_bps)?,
            "throttleWriteBpsDevice": throttle(&r.device_write_bps)?,
            "throttleReadIOPSDevice": throttle(&r.device_read_iops)?,
            "throttleWriteIOPSDevice": throttle(&r.device_write_iops)?,
        },
    }));
    // A controller that nothing is asked of need not exist.
    if let Some(map) = value.as_object_mut() {
        for part in map.values_mut().filter_map(Value::as_object_mut) {
            part.retain(|_, value| !value.as_array().is_some_and(Vec::is_empty));
        }
        map.retain(|_, part| !part.as_object().is_some_and(serde_json::Map::is_empty));
    }
    Ok(value)
}

fn block(blocks: &BlockDevices, path: &str) -> Result<(u64, u64)> {
    blocks
        .get(path)
        .copied()
        .ok_or_else(|| EngineError::InvalidParameter(format!("{path:?} is not a block device of this host")))
}

/// Looks up the block devices that limits name.
pub(crate) fn find_blocks(r: &Resources) -> BlockDevices {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let named =
        r.device_read_bps.iter().chain(&r.device_write_bps).chain(&r.device_read_iops).chain(&r.device_write_iops);
    let paths = named.map(|(path, _)| path).chain(r.blkio_weight_device.iter().map(|(path, _)| path));
    paths
        .filter_map(|path| {
            let meta = std::fs::metadata(path).ok().filter(|meta| meta.file_type().is_block_device())?;
            let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
            Some((path.clone(), (u64::from(major), u64::from(minor))))
        })
        .collect()
}
