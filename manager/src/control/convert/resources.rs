//! Limits and reservations: the service's own keys, and those of `deploy.resources` over them.

use hoist_compose::model::{self, Service};
use hoist_proto::spec::{DeviceMapping, DeviceRequest, Resources};

pub(super) fn resources(service: &Service) -> Resources {
    let blkio = service.blkio_config.clone().unwrap_or_default();
    let rates = |devices: &[model::ThrottleDevice]| {
        devices.iter().map(|device| (device.path.clone(), bytes(device.rate).unwrap_or(0))).collect()
    };
    let mut resources = Resources {
        nano_cpus: service.cpus.and_then(nano_cpus),
        cpu_shares: service.cpu_shares.and_then(positive),
        cpu_period: service.cpu_period.and_then(positive),
        cpu_quota: service.cpu_quota,
        cpu_rt_runtime: service.cpu_rt_runtime,
        cpu_rt_period: service.cpu_rt_period.and_then(positive),
        cpuset_cpus: service.cpuset.clone(),
        cpuset_mems: None,
        memory: service.mem_limit.and_then(bytes),
        memory_reservation: service.mem_reservation.and_then(bytes),
        memory_swap: service.memswap_limit.map(|limit| limit.0),
        memory_swappiness: service.mem_swappiness.and_then(positive_or_zero),
        pids: service.pids_limit,
        blkio_weight: blkio.weight,
        blkio_weight_device: blkio.weight_device.iter().map(|device| (device.path.clone(), device.weight)).collect(),
        device_read_bps: rates(&blkio.device_read_bps),
        device_write_bps: rates(&blkio.device_write_bps),
        device_read_iops: rates(&blkio.device_read_iops),
        device_write_iops: rates(&blkio.device_write_iops),
        cgroup_parent: service.cgroup_parent.clone(),
        devices: service.devices.iter().filter(|device| is_path(device)).map(device).collect(),
        device_cgroup_rules: service.device_cgroup_rules.clone(),
        device_requests: requests(service),
        reserved_nano_cpus: None,
        reserved_memory: None,
        reserved_generic: Default::default(),
    };
    let Some(deploy) = &service.deploy else { return resources };
    if let Some(limits) = &deploy.resources.limits {
        resources.nano_cpus = limits.cpus.and_then(nano_cpus).or(resources.nano_cpus);
        resources.memory = limits.memory.and_then(bytes).or(resources.memory);
        resources.pids = limits.pids.or(resources.pids);
    }
    if let Some(reservations) = &deploy.resources.reservations {
        resources.reserved_nano_cpus = reservations.cpus.and_then(nano_cpus);
        resources.reserved_memory = reservations.memory.and_then(bytes);
        resources.memory_reservation = resources.reserved_memory.or(resources.memory_reservation);
    }
    resources
}

/// What is no path is a CDI name.
fn is_path(device: &model::DeviceMapping) -> bool {
    device.source.starts_with('/')
}

/// Devices that are chosen when a container starts: `devices` by their CDI names, `gpus`, and what is reserved.
fn requests(service: &Service) -> Vec<DeviceRequest> {
    let mut requests = Vec::new();
    let names: Vec<String> =
        service.devices.iter().filter(|device| !is_path(device)).map(|device| device.source.clone()).collect();
    if !names.is_empty() {
        requests.push(DeviceRequest { driver: Some("cdi".into()), device_ids: names, ..DeviceRequest::default() });
    }
    let reservations = service.deploy.as_ref().and_then(|deploy| deploy.resources.reservations.as_ref());
    let reserved = reservations.iter().flat_map(|reservations| &reservations.devices);
    requests.extend(service.gpus.iter().chain(reserved).map(request));
    let generic = reservations.iter().flat_map(|reservations| &reservations.generic_resources);
    requests.extend(generic.filter_map(|one| one.discrete_resource_spec.as_ref()).map(|one| DeviceRequest {
        driver: Some(one.kind.clone()),
        count: Some(one.value),
        ..DeviceRequest::default()
    }));
    requests
}

fn request(asked: &model::DeviceRequest) -> DeviceRequest {
    // Neither a number nor names are all of them, as the Compose specification says.
    let count = asked.count.or_else(|| asked.device_ids.is_empty().then_some(-1));
    DeviceRequest {
        driver: asked.driver.clone().filter(|driver| !driver.is_empty()),
        count,
        device_ids: asked.device_ids.clone(),
        capabilities: if asked.capabilities.is_empty() { Vec::new() } else { vec![asked.capabilities.clone()] },
        options: asked.options.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
    }
}

fn device(device: &model::DeviceMapping) -> DeviceMapping {
    DeviceMapping {
        host: device.source.clone(),
        container: device.target.clone().unwrap_or_else(|| device.source.clone()),
        permissions: device.permissions.clone().unwrap_or_default(),
    }
}

fn nano_cpus(cpus: f64) -> Option<u64> {
    (cpus > 0.0).then(|| (cpus * 1e9).round() as u64)
}

fn positive(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|value| *value > 0)
}

fn positive_or_zero(value: i64) -> Option<u64> {
    u64::try_from(value).ok()
}

/// Zero is "no limit".
pub(super) fn bytes(size: model::ByteSize) -> Option<u64> {
    positive(size.0)
}
