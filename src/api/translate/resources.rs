//! Limits, devices, and when a container is started again.

use hoist_proto::spec::{DeviceMapping, DeviceRequest, Resources, RestartPolicy, Ulimit};

use super::create::text;
use crate::api::{
    dto::host_config::{self as dto, HostConfig},
    error::ApiError,
    version::ApiVersion,
};

/// No container works with less.
const LEAST_MEMORY: i64 = 6 << 20;

/// The limits of a `HostConfig`; 0 is not given.
pub fn limits(host: &mut HostConfig, version: ApiVersion) -> Result<Resources, ApiError> {
    check(host, version)?;
    let positive = |value: i64| (value > 0).then(|| value.unsigned_abs());
    let throttle = |list: Option<Vec<dto::ThrottleDevice>>| {
        list.unwrap_or_default().into_iter().map(|device| (device.path, device.rate)).collect()
    };
    Ok(Resources {
        nano_cpus: positive(host.nano_cpus),
        cpu_shares: positive(host.cpu_shares),
        cpu_period: positive(host.cpu_period),
        cpu_quota: (host.cpu_quota != 0).then_some(host.cpu_quota),
        cpu_rt_runtime: (host.cpu_realtime_runtime != 0).then_some(host.cpu_realtime_runtime),
        cpu_rt_period: positive(host.cpu_realtime_period),
        cpuset_cpus: text(std::mem::take(&mut host.cpuset_cpus)),
        cpuset_mems: text(std::mem::take(&mut host.cpuset_mems)),
        memory: positive(host.memory),
        memory_reservation: positive(host.memory_reservation),
        memory_swap: (host.memory_swap != 0).then_some(host.memory_swap),
        // -1 is what older clients send for "not given".
        memory_swappiness: host.memory_swappiness.filter(|value| *value >= 0).map(i64::unsigned_abs),
        pids: host.pids_limit.filter(|limit| *limit != 0),
        blkio_weight: (host.blkio_weight != 0).then_some(host.blkio_weight),
        blkio_weight_device: host
            .blkio_weight_device
            .take()
            .unwrap_or_default()
            .into_iter()
            .map(|device| (device.path, device.weight))
            .collect(),
        device_read_bps: throttle(host.blkio_device_read_bps.take()),
        device_write_bps: throttle(host.blkio_device_write_bps.take()),
        device_read_iops: throttle(host.blkio_device_read_iops.take()),
        device_write_iops: throttle(host.blkio_device_write_iops.take()),
        cgroup_parent: text(std::mem::take(&mut host.cgroup_parent)),
        devices: host.devices.take().unwrap_or_default().into_iter().map(device).collect::<Result<_, _>>()?,
        device_cgroup_rules: host.device_cgroup_rules.take().unwrap_or_default(),
        device_requests: host.device_requests.take().unwrap_or_default().into_iter().map(request).collect(),
        reserved_nano_cpus: None,
        reserved_memory: None,
        reserved_generic: Default::default(),
    })
}

/// The limits of an update; what is not given is checked as it is now.
///
/// # Errors
/// As [`limits`].
pub fn update_limits(host: &mut HostConfig, now: &Resources, version: ApiVersion) -> Result<Resources, ApiError> {
    let given = host.clone();
    if host.memory == 0 {
        host.memory = now.memory.and_then(|now| i64::try_from(now).ok()).unwrap_or(0);
    }
    if host.memory_swap == 0 {
        host.memory_swap = now.memory_swap.unwrap_or(0);
    }
    check(host, version)?;
    *host = given;
    // What belongs together was looked at; now only what is new.
    let (memory, swap) = (std::mem::take(&mut host.memory), std::mem::take(&mut host.memory_swap));
    let mut limits = limits(host, version)?;
    limits.memory = (memory > 0).then(|| memory.unsigned_abs());
    limits.memory_swap = (swap != 0).then_some(swap);
    Ok(limits)
}

fn check(host: &HostConfig, version: ApiVersion) -> Result<(), ApiError> {
    let refuse = |message: String| Err(ApiError::bad_request(message));
    if host.kernel_memory > 0 && version < ApiVersion(1, 42) {
        return refuse("KernelMemory is not supported: Linux has no such limit any more".to_owned());
    }
    if host.kernel_memory_tcp > 0 && version < ApiVersion(1, 52) {
        return refuse("KernelMemoryTCP is not supported".to_owned());
    }
    if host.memory != 0 && host.memory < LEAST_MEMORY {
        return refuse("Minimum memory limit allowed is 6MB".to_owned());
    }
    if host.memory_swap < -1 {
        return refuse(format!("invalid MemorySwap {}: expected -1 or a number of bytes", host.memory_swap));
    }
    if host.memory > 0 && host.memory_swap > 0 && host.memory_swap < host.memory {
        return refuse("Minimum memoryswap limit should be larger than memory limit, see usage".to_owned());
    }
    if host.memory == 0 && host.memory_swap > 0 {
        return refuse("You should always set the Memory limit when using Memoryswap limit, see usage".to_owned());
    }
    if let Some(value) = host.memory_swappiness.filter(|value| !(-1..=100).contains(value)) {
        return refuse(format!("Invalid value: {value}, valid memory swappiness range is 0-100"));
    }
    if host.memory_reservation != 0 && host.memory_reservation < LEAST_MEMORY {
        return refuse("Minimum memory reservation allowed is 6MB".to_owned());
    }
    if host.memory > 0 && host.memory_reservation > host.memory {
        return refuse("Minimum memory limit can not be less than memory reservation limit, see usage".to_owned());
    }
    if host.nano_cpus < 0 {
        return refuse(format!("invalid NanoCpus {}: it cannot be negative", host.nano_cpus));
    }
    if host.nano_cpus > 0 && (host.cpu_period != 0 || host.cpu_quota != 0) {
        return refuse("Conflicting options: Nano CPUs and CPU Period or CPU Quota cannot both be set".to_owned());
    }
    if host.cpu_shares < 0 {
        return refuse(format!("invalid CpuShares {}: it cannot be negative", host.cpu_shares));
    }
    if host.cpu_period != 0 && !(1_000..=1_000_000).contains(&host.cpu_period) {
        return refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)".to_owned(),
        );
    }
    if host.cpu_quota > 0 && host.cpu_quota < 1000 {
        return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)".to_owned());
    }
    if host.blkio_weight != 0 && !(10..=1000).contains(&host.blkio_weight) {
        return refuse("Range of blkio weight is from 10 to 1000".to_owned());
    }
    Ok(())
}

fn device(device: dto::DeviceMapping) -> Result<DeviceMapping, ApiError> {
    if device.path_on_host.is_empty() {
        return Err(ApiError::bad_request("Devices: PathOnHost is empty"));
    }
    if let Some(bad) = device.cgroup_permissions.chars().find(|c| !matches!(c, 'r' | 'w' | 'm')) {
        return Err(ApiError::bad_request(format!(
            "invalid device mode {:?} of {}: {bad:?} is none of r, w, m",
            device.cgroup_permissions, device.path_on_host
        )));
    }
    let container = text(device.path_in_container).unwrap_or_else(|| device.path_on_host.clone());
    Ok(DeviceMapping { host: device.path_on_host, container, permissions: device.cgroup_permissions })
}

fn request(request: dto::DeviceRequest) -> DeviceRequest {
    DeviceRequest {
        driver: text(request.driver),
        count: (request.count != 0).then_some(request.count),
        device_ids: request.device_ids.unwrap_or_default(),
        capabilities: request.capabilities.unwrap_or_default(),
        options: request.options,
    }
}

/// The limits per process.
pub fn ulimits(list: Vec<dto::Ulimit>) -> Result<Vec<Ulimit>, ApiError> {
    list.into_iter()
        .map(|limit| {
            if limit.hard != -1 && (limit.soft > limit.hard || limit.soft == -1) {
                return Err(ApiError::bad_request(format!(
                    "ulimit soft limit must be less than or equal to hard limit: {} {} > {}",
                    limit.name, limit.soft, limit.hard
                )));
            }
            Ok(Ulimit { name: limit.name, soft: limit.soft, hard: limit.hard })
        })
        .collect()
}

/// When a container that ended is started again.
///
/// # Errors
/// 400 for an unknown name, and for a count that the policy does not have.
pub fn restart_policy(policy: &dto::RestartPolicy) -> Result<RestartPolicy, ApiError> {
    let count = policy.maximum_retry_count;
    if count < 0 {
        return Err(ApiError::bad_request("invalid restart policy: maximum retry count cannot be negative"));
    }
    let made = match policy.name.as_str() {
        "" | "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => {
            let max_retries = u32::try_from(count)
                .map_err(|_| ApiError::bad_request("invalid restart policy: maximum retry count is too large"))?;
            return Ok(RestartPolicy::OnFailure { max_retries: (max_retries > 0).then_some(max_retries) });
        }
        other => {
            return Err(ApiError::bad_request(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            )));
        }
    };
    if count > 0 {
        return Err(ApiError::bad_request(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ));
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_not_given() {
        let limits = limits(&mut HostConfig::default(), ApiVersion::NEWEST).unwrap();
        assert_eq!(limits, Resources::default());
    }

    #[test]
    fn impossible_limits_are_refused() {
        let host = |change: fn(&mut HostConfig)| {
            let mut host = HostConfig::default();
            change(&mut host);
            limits(&mut host, ApiVersion(1, 40)).unwrap_err().message
        };
        assert_eq!(host(|h| h.memory = 1024), "Minimum memory limit allowed is 6MB");
        assert!(host(|h| (h.memory, h.memory_swap) = (64 << 20, 32 << 20)).contains("memoryswap"));
        assert!(host(|h| h.memory_swap = 64 << 20).contains("always set the Memory"));
        assert!(host(|h| (h.nano_cpus, h.cpu_quota) = (1, 1000)).starts_with("Conflicting"));
        assert!(host(|h| h.kernel_memory = 1 << 30).starts_with("KernelMemory is not supported"));
        assert!(host(|h| h.blkio_weight = 5).contains("10 to 1000"));
    }

    #[test]
    fn restart_policies() {
        let policy = |name: &str, count| {
            restart_policy(&dto::RestartPolicy { name: name.to_owned(), maximum_retry_count: count })
        };
        assert_eq!(policy("", 0), Ok(RestartPolicy::No));
        assert_eq!(policy("on-failure", 3), Ok(RestartPolicy::OnFailure { max_retries: Some(3) }));
        assert_eq!(policy("on-failure", 0), Ok(RestartPolicy::OnFailure { max_retries: None }));
        assert!(policy("always", 1).is_err());
        assert!(policy("sometimes", 0).unwrap_err().message.contains("'sometimes'"));
    }
}
