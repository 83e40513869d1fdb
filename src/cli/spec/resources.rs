//! Limits, devices, restart policies.

use hoist_proto::unit;

use super::{SpecError, gpus::gpus};
use crate::{
    api::dto::host_config::{
        DeviceMapping, DeviceRequest, HostConfig, RestartPolicy, ThrottleDevice, Ulimit, WeightDevice,
    },
    cli::{
        args::{
            container::UpdateArgs,
            create::{ResourceFlags, UpdatableLimits},
        },
        failure::Failure,
    },
};

pub fn apply(flags: &ResourceFlags, host: &mut HostConfig) -> Result<(), SpecError> {
    limits(&flags.limits, host)?;
    host.cgroup_parent = flags.cgroup_parent.clone().unwrap_or_default();
    host.blkio_weight_device = some(&flags.blkio_weight_device, |text| {
        let (path, weight) = device_and("blkio-weight-device", text)?;
        let weight = weight
            .parse()
            .ok()
            .filter(|weight| *weight == 0 || (10..=1000).contains(weight))
            .ok_or_else(|| SpecError::value("blkio-weight-device", text, "the weight is not 10 to 1000"))?;
        Ok(WeightDevice { path, weight })
    })?;
    host.blkio_device_read_bps = throttles("device-read-bps", &flags.device_read_bps, true)?;
    host.blkio_device_write_bps = throttles("device-write-bps", &flags.device_write_bps, true)?;
    host.blkio_device_read_iops = throttles("device-read-iops", &flags.device_read_iops, false)?;
    host.blkio_device_write_iops = throttles("device-write-iops", &flags.device_write_iops, false)?;
    let mut requests = Vec::new();
    let (cdi, plain): (Vec<&String>, Vec<&String>) =
        flags.device.iter().partition(|text| !text.starts_with('/') && text.contains('='));
    if !cdi.is_empty() {
        requests.push(DeviceRequest {
            driver: "cdi".to_owned(),
            device_ids: Some(cdi.into_iter().cloned().collect()),
            ..DeviceRequest::default()
        });
    }
    let plain: Vec<String> = plain.into_iter().cloned().collect();
    host.devices = some(&plain, |text| device(text))?;
    if let Some(text) = &flags.gpus {
        requests.push(gpus(text)?);
    }
    host.device_requests = (!requests.is_empty()).then_some(requests);
    host.device_cgroup_rules = (!flags.device_cgroup_rule.is_empty()).then(|| flags.device_cgroup_rule.clone());
    if flags.kernel_memory.is_some() {
        return Err(SpecError::unsupported("kernel-memory", "the kernel counts it with the rest: use --memory"));
    }
    if let Some(value) = flags.memory_swappiness.filter(|value| *value != -1) {
        if !(0..=100).contains(&value) {
            return Err(SpecError::value("memory-swappiness", &value.to_string(), "expected 0 to 100"));
        }
        host.memory_swappiness = Some(value);
    }
    host.oom_kill_disable = flags.oom_kill_disable.then_some(true);
    if let Some(value) = flags.oom_score_adj {
        host.oom_score_adj = i32::try_from(value)
            .ok()
            .filter(|value| (-1000..=1000).contains(value))
            .ok_or_else(|| SpecError::value("oom-score-adj", &value.to_string(), "expected -1000 to 1000"))?;
    }
    host.ulimits = some(&flags.ulimit, |text| ulimit("ulimit", text))?;
    Ok(())
}

fn limits(flags: &UpdatableLimits, host: &mut HostConfig) -> Result<(), SpecError> {
    if let Some(weight) = flags.blkio_weight {
        if weight != 0 && !(10..=1000).contains(&weight) {
            return Err(SpecError::value("blkio-weight", &weight.to_string(), "expected 10 to 1000"));
        }
        host.blkio_weight = weight;
    }
    host.cpu_period = flags.cpu_period.unwrap_or(0);
    host.cpu_quota = flags.cpu_quota.unwrap_or(0);
    host.cpu_realtime_period = flags.cpu_rt_period.unwrap_or(0);
    host.cpu_realtime_runtime = flags.cpu_rt_runtime.unwrap_or(0);
    host.cpu_shares = flags.cpu_shares.unwrap_or(0);
    if let Some(text) = &flags.cpus {
        host.nano_cpus = nano_cpus(text)?;
        if flags.cpu_period.is_some() || flags.cpu_quota.is_some() {
            return Err(SpecError::conflict("cpus", "cannot be combined with --cpu-period or --cpu-quota"));
        }
    }
    host.cpuset_cpus = flags.cpuset_cpus.clone().unwrap_or_default();
    host.cpuset_mems = flags.cpuset_mems.clone().unwrap_or_default();
    host.memory = optional_bytes("memory", flags.memory.as_ref())?;
    host.memory_reservation = optional_bytes("memory-reservation", flags.memory_reservation.as_ref())?;
    host.memory_swap = match flags.memory_swap.as_deref() {
        Some("-1") => -1,
        _ => optional_bytes("memory-swap", flags.memory_swap.as_ref())?,
    };
    host.pids_limit = flags.pids_limit;
    Ok(())
}

/// The body of `POST /containers/{id}/update`.
///
/// # Errors
/// The flag and its value.
pub fn update(args: &UpdateArgs) -> Result<HostConfig, Failure> {
    let mut host = HostConfig::default();
    limits(&args.limits, &mut host)?;
    if let Some(policy) = &args.restart {
        host.restart_policy = restart_policy(policy).map_err(SpecError::found_late)?;
    }
    if host == HostConfig::default() {
        return Err(Failure::new("nothing to change was given").hint("such as --memory 1g or --restart always"));
    }
    Ok(host)
}

/// `no`, `always`, `unless-stopped`, `on-failure[:MAX]`.
///
/// # Errors
/// [`SpecError`] for anything else.
pub fn restart_policy(text: &str) -> Result<RestartPolicy, SpecError> {
    let fail = |reason: &str| SpecError::value("restart", text, reason);
    let (name, max) = text.split_once(':').map_or((text, None), |(name, max)| (name, Some(max)));
    if !matches!(name, "" | "no" | "always" | "unless-stopped" | "on-failure") {
        return Err(fail("expected no, always, unless-stopped or on-failure[:MAX]"));
    }
    let maximum_retry_count = match max {
        None => 0,
        Some(max) if name == "on-failure" => {
            max.parse().ok().filter(|max| *max >= 0).ok_or_else(|| fail("the number of retries is not a number"))?
        }
        Some(_) => return Err(fail("only on-failure takes a number of retries")),
    };
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

/// A size.
pub fn bytes(flag: &'static str, text: &str) -> Result<i64, SpecError> {
    unit::parse_bytes(text)
        .ok()
        .and_then(|bytes| i64::try_from(bytes).ok())
        .ok_or_else(|| SpecError::value(flag, text, "expected a size, such as 512m or 1.5gb"))
}

fn optional_bytes(flag: &'static str, text: Option<&String>) -> Result<i64, SpecError> {
    text.map_or(Ok(0), |text| bytes(flag, text))
}

fn nano_cpus(text: &str) -> Result<i64, SpecError> {
    let cpus: f64 = text
        .parse()
        .ok()
        .filter(|cpus: &f64| cpus.is_finite() && *cpus >= 0.0 && *cpus < 1e6)
        .ok_or_else(|| SpecError::value("cpus", text, "expected a number of processors, such as 1.5"))?;
    Ok((cpus * 1e9).round() as i64)
}

fn some<T>(values: &[String], parse: impl Fn(&String) -> Result<T, SpecError>) -> Result<Option<Vec<T>>, SpecError> {
    let all = values.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    Ok((!all.is_empty()).then_some(all))
}

fn device_and<'a>(flag: &'static str, text: &'a str) -> Result<(String, &'a str), SpecError> {
    text.rsplit_once(':')
        .filter(|(path, _)| path.starts_with("/dev/"))
        .map(|(path, value)| (path.to_owned(), value))
        .ok_or_else(|| SpecError::value(flag, text, "expected /dev/NAME:VALUE"))
}

fn throttles(flag: &'static str, values: &[String], sizes: bool) -> Result<Option<Vec<ThrottleDevice>>, SpecError> {
    some(values, |text| {
        let (path, rate) = device_and(flag, text)?;
        let rate = if sizes { unit::parse_bytes(rate).ok() } else { rate.parse().ok() };
        let rate = rate.ok_or_else(|| SpecError::value(flag, text, "the rate is not a number"))?;
        Ok(ThrottleDevice { path, rate })
    })
}

/// `PATH[:PATH_INSIDE][:rwm]`
fn device(text: &str) -> Result<DeviceMapping, SpecError> {
    let fail = |reason: &str| SpecError::value("device", text, reason);
    let mode = |text: &str| !text.is_empty() && text.bytes().all(|byte| b"rwm".contains(&byte));
    let parts: Vec<&str> = text.split(':').collect();
    let (host, inside, permissions) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, second] if mode(second) => (*host, *host, *second),
        [host, inside] => (*host, *inside, "rwm"),
        [host, inside, permissions] => (*host, *inside, *permissions),
        _ => return Err(fail("too many colons")),
    };
    if !host.starts_with('/') || !inside.starts_with('/') {
        return Err(fail("paths must be absolute"));
    }
    if !mode(permissions) {
        return Err(fail("the mode is not made of r, w and m"));
    }
    Ok(DeviceMapping {
        path_on_host: host.to_owned(),
        path_in_container: inside.to_owned(),
        cgroup_permissions: permissions.to_owned(),
    })
}

/// `NAME=SOFT[:HARD]`, -1 for no limit.
pub(super) fn ulimit(flag: &'static str, text: &str) -> Result<Ulimit, SpecError> {
    let limit: hoist_proto::spec::Ulimit =
        text.parse().map_err(|error: hoist_proto::spec::BadUlimit| SpecError::value(flag, text, error.to_string()))?;
    Ok(Ulimit { name: limit.name, hard: limit.hard, soft: limit.soft })
}
