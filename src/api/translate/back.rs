//! A container's description as Docker's inspect shows it: `Config` and `HostConfig`.

use std::{collections::BTreeMap, time::Duration};

use hoist_engine::Container;
use hoist_proto::spec::{
    ContainerSpec, Healthcheck, Mount, MountKind, NamespaceMode, NetworkMode, Noted, PortSpec, RestartPolicy,
    SeccompChoice,
};

use crate::api::{
    dto::{
        Empty,
        config::{Config, HealthConfig},
        endpoint::{PortBinding, PortMap},
        host_config::{self as dto, HostConfig},
        mount::{self as mounts},
    },
    version::ApiVersion,
};

/// Docker's own default for `/dev/shm`.
const SHM_SIZE: i64 = 64 << 20;
/// What Docker masks and protects unless told otherwise; the runtime has the same lists.
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];
const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// `Config`: the description with what the image added.
pub fn config(container: &Container, version: ApiVersion) -> Config {
    let (spec, effective) = (&container.spec, &container.effective);
    // What was made without a client shows its output and reads nothing, if nothing else was said.
    let unsaid = || Noted { attached: [spec.open_stdin && spec.stdin_once, true, true], ..Noted::default() };
    let noted = spec.noted.clone().unwrap_or_else(unsaid);
    let volumes: BTreeMap<String, Empty> = effective
        .volumes
        .iter()
        .chain(spec.mounts.iter().filter(|mount| is_anonymous(mount)).map(|mount| &mount.target))
        .map(|path| (path.clone(), Empty {}))
        .collect();
    Config {
        hostname: effective.hostname.clone(),
        domainname: spec.domainname.clone().unwrap_or_default(),
        user: effective.user.clone(),
        attach_stdin: noted.attached[0],
        attach_stdout: noted.attached[1],
        attach_stderr: noted.attached[2],
        exposed_ports: effective.exposed_ports.iter().map(|port| (port.clone(), Empty {})).collect(),
        tty: spec.tty,
        open_stdin: spec.open_stdin,
        stdin_once: spec.stdin_once,
        env: effective.own_env.as_ref().unwrap_or(&effective.env).clone(),
        cmd: Some(effective.command.clone()).filter(|command| !command.is_empty()),
        healthcheck: effective.healthcheck.as_ref().map(healthcheck),
        args_escaped: false,
        image: spec.image.clone(),
        volumes: (!volumes.is_empty()).then_some(volumes),
        working_dir: effective.working_dir.clone(),
        entrypoint: Some(effective.entrypoint.clone()).filter(|entrypoint| !entrypoint.is_empty()),
        network_disabled: noted.network_disabled,
        mac_address: None,
        on_build: match effective.on_build.as_slice() {
            [] if version >= ApiVersion(1, 52) => None,
            list => Some(list.to_vec()),
        },
        labels: effective.labels.clone(),
        stop_signal: effective.stop_signal.clone(),
        stop_timeout: spec.stop_grace_period.map(|span| i64::try_from(span.as_secs()).unwrap_or(i64::MAX)),
        shell: Some(effective.shell.clone()).filter(|shell| !shell.is_empty()),
        host_config: None,
        networking_config: None,
    }
}

pub(super) fn healthcheck(check: &Healthcheck) -> HealthConfig {
    let nanos = |span: Option<Duration>| span.map_or(0, |span| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX));
    HealthConfig {
        test: check.test.clone(),
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        start_period: nanos(check.start_period),
        start_interval: nanos(check.start_interval),
        retries: check.retries.map_or(0, i64::from),
    }
}

/// `HostConfig`.
pub fn host_config(spec: &ContainerSpec) -> HostConfig {
    let noted = spec.noted.clone().unwrap_or_default();
    let mut host = HostConfig {
        console_size: noted.console_size,
        container_id_file: noted.id_file,
        volume_driver: noted.volume_driver,
        log_config: dto::LogConfig {
            kind: spec.logging.driver.clone().unwrap_or_else(|| "json-file".to_owned()),
            config: spec.logging.options.clone(),
        },
        network_mode: network_mode(spec),
        port_bindings: port_bindings(&spec.ports),
        restart_policy: restart_policy(spec.restart),
        auto_remove: spec.auto_remove,
        volumes_from: list(&spec.volumes_from),
        annotations: spec.annotations.clone(),
        cap_add: list(&spec.security.cap_add),
        cap_drop: list(&spec.security.cap_drop),
        cgroupns_mode: namespace(&spec.namespaces.cgroup, "private"),
        dns: spec.dns.clone(),
        dns_options: spec.dns_options.clone(),
        dns_search: spec.dns_search.clone(),
        extra_hosts: list(
            &spec.extra_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect::<Vec<_>>(),
        ),
        group_add: list(&spec.group_add),
        ipc_mode: namespace(&spec.namespaces.ipc, "private"),
        links: list(&spec.links),
        oom_score_adj: spec.oom_score_adj.unwrap_or(0),
        pid_mode: namespace(&spec.namespaces.pid, ""),
        privileged: spec.security.privileged,
        publish_all_ports: spec.publish_all,
        readonly_rootfs: spec.read_only,
        security_opt: security_opt(spec),
        storage_opt: spec.storage_options.clone(),
        uts_mode: namespace(&spec.namespaces.uts, ""),
        userns_mode: namespace(&spec.namespaces.user, ""),
        shm_size: spec.shm_size.map_or(SHM_SIZE, signed),
        sysctls: spec.sysctls.clone(),
        runtime: spec.runtime.clone().unwrap_or_else(|| "hoist".to_owned()),
        init: spec.init,
        oom_kill_disable: Some(spec.oom_kill_disable),
        ulimits: list(
            &spec
                .ulimits
                .iter()
                .map(|limit| dto::Ulimit { name: limit.name.clone(), hard: limit.hard, soft: limit.soft })
                .collect::<Vec<_>>(),
        ),
        ..HostConfig::default()
    };
    resources(&mut host, spec);
    mounts(&mut host, spec);
    paths(&mut host, spec);
    host
}

fn resources(host: &mut HostConfig, spec: &ContainerSpec) {
    let limits = &spec.resources;
    let throttle = |list: &[(String, u64)]| {
        Some(list.iter().map(|(path, rate)| dto::ThrottleDevice { path: path.clone(), rate: *rate }).collect())
    };
    host.nano_cpus = limits.nano_cpus.map_or(0, signed);
    host.cpu_shares = limits.cpu_shares.map_or(0, signed);
    host.cpu_period = limits.cpu_period.map_or(0, signed);
    host.cpu_quota = limits.cpu_quota.unwrap_or(0);
    host.cpu_realtime_period = limits.cpu_rt_period.map_or(0, signed);
    host.cpu_realtime_runtime = limits.cpu_rt_runtime.unwrap_or(0);
    host.cpuset_cpus = limits.cpuset_cpus.clone().unwrap_or_default();
    host.cpuset_mems = limits.cpuset_mems.clone().unwrap_or_default();
    host.memory = limits.memory.map_or(0, signed);
    host.memory_reservation = limits.memory_reservation.map_or(0, signed);
    host.memory_swap = limits.memory_swap.unwrap_or(0);
    host.memory_swappiness = limits.memory_swappiness.map(signed);
    host.pids_limit = limits.pids;
    host.blkio_weight = limits.blkio_weight.unwrap_or(0);
    host.blkio_weight_device = Some(
        limits
            .blkio_weight_device
            .iter()
            .map(|(path, weight)| dto::WeightDevice { path: path.clone(), weight: *weight })
            .collect(),
    );
    host.blkio_device_read_bps = throttle(&limits.device_read_bps);
    host.blkio_device_write_bps = throttle(&limits.device_write_bps);
    host.blkio_device_read_iops = throttle(&limits.device_read_iops);
    host.blkio_device_write_iops = throttle(&limits.device_write_iops);
    host.cgroup_parent = limits.cgroup_parent.clone().unwrap_or_default();
    let device = |device: &hoist_proto::spec::DeviceMapping| dto::DeviceMapping {
        path_on_host: device.host.clone(),
        path_in_container: device.container.clone(),
        cgroup_permissions: device.permissions.clone(),
    };
    host.devices = Some(limits.devices.iter().map(device).collect());
    host.device_cgroup_rules = list(&limits.device_cgroup_rules);
    let request = |request: &hoist_proto::spec::DeviceRequest| dto::DeviceRequest {
        driver: request.driver.clone().unwrap_or_default(),
        count: request.count.unwrap_or(0),
        device_ids: list(&request.device_ids),
        capabilities: list(&request.capabilities),
        options: request.options.clone(),
    };
    host.device_requests = list(&limits.device_requests.iter().map(request).collect::<Vec<_>>());
}

/// Sorts mounts into the places that Docker's clients write them to: `Binds`, `Tmpfs` and `Mounts`.
fn mounts(host: &mut HostConfig, spec: &ContainerSpec) {
    let (mut binds, mut objects) = (Vec::new(), Vec::new());
    for mount in &spec.mounts {
        if is_anonymous(mount) {
            continue;
        }
        if let Some(bind) = as_bind(mount) {
            binds.push(bind);
        } else if mount.kind == MountKind::Tmpfs && mount.tmpfs_size.is_none() && mount.tmpfs_mode.is_none() {
            host.tmpfs.insert(mount.target.clone(), mount.tmpfs_options.join(","));
        } else {
            objects.push(as_object(mount));
        }
    }
    host.binds = list(&binds);
    host.mounts = list(&objects);
}

/// A volume without a name, which `Config.Volumes` shows.
fn is_anonymous(mount: &Mount) -> bool {
    mount.kind == MountKind::Volume && mount.source.is_none() && *mount == plain(mount)
}

/// The same mount with none of the options that only an object can say.
fn plain(mount: &Mount) -> Mount {
    Mount { kind: mount.kind, source: mount.source.clone(), target: mount.target.clone(), ..Mount::default() }
}

fn as_bind(mount: &Mount) -> Option<String> {
    let mut sayable = Mount {
        read_only: mount.read_only,
        propagation: mount.propagation.clone(),
        selinux: mount.selinux.clone(),
        no_copy: mount.no_copy,
        ..plain(mount)
    };
    sayable.create_host_path = mount.kind == MountKind::Bind;
    if !matches!(mount.kind, MountKind::Bind | MountKind::Volume) || *mount != sayable {
        return None;
    }
    let mut options: Vec<&str> = Vec::new();
    if mount.read_only {
        options.push("ro");
    }
    options.extend(mount.selinux.as_deref());
    options.extend(mount.propagation.as_deref());
    if mount.no_copy {
        options.push("nocopy");
    }
    let source = mount.source.as_deref()?;
    let target = &mount.target;
    Some(match options.join(",") {
        options if options.is_empty() => format!("{source}:{target}"),
        options => format!("{source}:{target}:{options}"),
    })
}

pub(super) fn as_object(mount: &Mount) -> mounts::Mount {
    let bind = mounts::BindOptions {
        propagation: mount.propagation.clone().unwrap_or_default(),
        non_recursive: mount.recursive.as_deref() == Some("disabled"),
        create_mountpoint: mount.create_host_path,
        read_only_non_recursive: mount.recursive.as_deref() == Some("writable"),
        read_only_force_recursive: mount.recursive.as_deref() == Some("readonly"),
    };
    let driver =
        mounts::DriverConfig { name: mount.driver.clone().unwrap_or_default(), options: mount.driver_options.clone() };
    let subpath = mount.subpath.clone().unwrap_or_default();
    let volume = mounts::VolumeOptions {
        no_copy: mount.no_copy,
        labels: mount.labels.clone(),
        subpath: subpath.clone(),
        driver_config: (driver != mounts::DriverConfig::default()).then_some(driver),
    };
    let tmpfs = mounts::TmpfsOptions {
        size_bytes: mount.tmpfs_size.map_or(0, signed),
        mode: mount.tmpfs_mode.map_or(0, i64::from),
        options: mount.tmpfs_options.iter().map(|option| option.splitn(2, '=').map(str::to_owned).collect()).collect(),
    };
    let image = mounts::ImageOptions { subpath };
    let kind = mount.kind;
    mounts::Mount {
        kind: kind_name(kind).to_owned(),
        source: mount.source.clone().unwrap_or_default(),
        target: mount.target.clone(),
        read_only: mount.read_only,
        consistency: String::new(),
        bind_options: (kind == MountKind::Bind && bind != mounts::BindOptions::default()).then_some(bind),
        volume_options: (kind == MountKind::Volume && volume != mounts::VolumeOptions::default()).then_some(volume),
        image_options: (kind == MountKind::Image && image != mounts::ImageOptions::default()).then_some(image),
        tmpfs_options: (kind == MountKind::Tmpfs && tmpfs != mounts::TmpfsOptions::default()).then_some(tmpfs),
        cluster_options: None,
    }
}

/// Docker's word for a kind of mount.
pub fn kind_name(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Volume => "volume",
        MountKind::Bind => "bind",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Image => "image",
        MountKind::Npipe => "npipe",
        MountKind::Cluster => "cluster",
    }
}

fn paths(host: &mut HostConfig, spec: &ContainerSpec) {
    let security = &spec.security;
    let open = security.privileged || security.unmasked_paths;
    let shown = |given: &Option<Vec<String>>, default: &[&str]| match given {
        Some(list) => Some(list.clone()),
        None if open => None,
        None => Some(default.iter().map(|path| (*path).to_owned()).collect()),
    };
    host.masked_paths = shown(&security.masked_paths, &MASKED);
    host.readonly_paths = shown(&security.readonly_paths, &READONLY);
}

/// Docker's word for how a container is on networks.
pub fn network_mode(spec: &ContainerSpec) -> String {
    match &spec.network_mode {
        NetworkMode::Networks => spec.networks.first().map_or("bridge", |network| &network.network).to_owned(),
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::Container(name) => format!("container:{name}"),
    }
}

fn port_bindings(ports: &[PortSpec]) -> PortMap {
    let range = |(first, last): (u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    let mut map = PortMap::new();
    for port in ports {
        let binding = |host_port: String| PortBinding {
            host_ip: port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            host_port,
        };
        let (first, last) = port.container_port;
        for (offset, container) in (first..=last).enumerate() {
            let host_port = match port.host_port {
                None => String::new(),
                Some((from, to)) if last > first && usize::from(to - from) == usize::from(last - first) => {
                    (usize::from(from) + offset).to_string()
                }
                Some(ports) => range(ports),
            };
            let list = map.entry(format!("{container}/{}", port.protocol)).or_insert_with(|| Some(Vec::new()));
            list.get_or_insert_default().push(binding(host_port));
        }
    }
    map
}

fn restart_policy(policy: RestartPolicy) -> dto::RestartPolicy {
    let (name, count) = match policy {
        RestartPolicy::No => ("no", 0),
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        RestartPolicy::OnFailure { max_retries } => ("on-failure", max_retries.map_or(0, i64::from)),
    };
    dto::RestartPolicy { name: name.to_owned(), maximum_retry_count: count }
}

fn namespace(mode: &NamespaceMode, default: &str) -> String {
    match mode {
        NamespaceMode::Default => default.to_owned(),
        NamespaceMode::Private => "private".to_owned(),
        NamespaceMode::Shareable => "shareable".to_owned(),
        NamespaceMode::None => "none".to_owned(),
        NamespaceMode::Host => "host".to_owned(),
        NamespaceMode::Container(name) => format!("container:{name}"),
    }
}

fn security_opt(spec: &ContainerSpec) -> Option<Vec<String>> {
    let security = &spec.security;
    let mut options = Vec::new();
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    match &security.seccomp {
        SeccompChoice::Default => {}
        SeccompChoice::Unconfined => options.push("seccomp=unconfined".to_owned()),
        SeccompChoice::Profile(text) => options.push(format!("seccomp={text}")),
    }
    options.extend(security.apparmor.iter().map(|profile| format!("apparmor={profile}")));
    options.extend(security.selinux.iter().map(|label| format!("label={label}")));
    if security.unmasked_paths {
        options.push("systempaths=unconfined".to_owned());
    }
    list(&options)
}

/// Docker writes what was not given as `null`.
fn list<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        body,
        translate::create::{Query, container},
    };

    /// What was asked for comes back as it was, and asked for again it is the same.
    #[test]
    fn a_host_config_comes_back() {
        let json = r#"{"Image":"x","Volumes":{"/anon":{}},"HostConfig":{
            "Binds":["/a:/b:ro,z,rshared","vol:/c"],"NetworkMode":"web","PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}]},
            "RestartPolicy":{"Name":"on-failure","MaximumRetryCount":2},"CapAdd":["NET_ADMIN"],"Memory":67108864,"NanoCpus":500000000,
            "PidMode":"container:x","IpcMode":"host","ExtraHosts":["a:1.2.3.4"],"SecurityOpt":["no-new-privileges","seccomp=unconfined"],
            "Tmpfs":{"/t":"size=1m"},"Ulimits":[{"Name":"nofile","Hard":10,"Soft":5}],"MaskedPaths":[],"Sysctls":{"net.x":"1"},
            "Devices":[{"PathOnHost":"/dev/null","PathInContainer":"/dev/n","CgroupPermissions":"r"}],
            "Mounts":[{"Type":"volume","Source":"work","Target":"/w","VolumeOptions":{"Subpath":"s"}}],"PidsLimit":5,"Init":true}}"#;
        let ask = |json: &str| {
            let query = Query { name: None, platform: None };
            container(query, body::parse(json.as_bytes()).unwrap(), ApiVersion::NEWEST).unwrap().spec
        };
        let spec = ask(json);
        let host = host_config(&spec);
        assert_eq!(host.binds, Some(vec!["/a:/b:ro,z,rshared".to_owned(), "vol:/c".to_owned()]));
        assert_eq!(host.network_mode, "web");
        assert_eq!(host.masked_paths, Some(vec![]));
        assert_eq!(host.readonly_paths.as_ref().map(Vec::len), Some(5));
        let volumes: BTreeMap<String, Empty> = [("/anon".to_owned(), Empty {})].into();
        let again = serde_json::json!({"Image": "x", "HostConfig": host, "Volumes": volumes}).to_string();
        let mut again = ask(&again);
        // Defaults are shown, and asking for them is the same as not asking.
        assert_eq!(again.namespaces.cgroup, NamespaceMode::Private);
        again.namespaces.cgroup = NamespaceMode::Default;
        assert_eq!(again.shm_size.take(), Some(64 << 20));
        assert_eq!(again.logging.driver.take().as_deref(), Some("json-file"));
        assert_eq!(again.runtime.take().as_deref(), Some("hoist"));
        again.security.readonly_paths = None;
        assert_eq!(again, spec);
    }
}
