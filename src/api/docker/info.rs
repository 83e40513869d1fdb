//! `GET /info`.

use std::collections::BTreeMap;

use axum::{Json, extract::State as With};
use hoist_engine::{ListOptions, OciRuntime, Status};

use super::ping;
use crate::api::{
    State,
    dto::system::{
        AddressPool, Commit, DiscoveredDevice, Firewall, IndexInfo, Info, Plugins, RegistryConfig, RuntimeInfo,
    },
    error::ApiError,
    translate::time,
    version::ApiVersion,
};

/// Docker's name for its own registry.
pub const INDEX: &str = "https://index.docker.io/v1/";

pub async fn info(With(state): With<State>, version: ApiVersion) -> Result<Json<Info>, ApiError> {
    let containers = state.engine.list(ListOptions { all: true, ..ListOptions::default() }).await?;
    let count = |wanted: &[Status]| containers.iter().filter(|one| wanted.contains(&one.state.status)).count();
    let images = state.engine.images().list(&hoist_image::ListFilter::default()).await?;
    let facts = state.facts();
    let runtimes = state.engine.runtimes();
    let host = Host::read();
    let devices = devices(&state).await?;
    Ok(Json(Info {
        id: facts.id.clone(),
        containers: containers.len(),
        containers_running: count(&[Status::Running, Status::Restarting]),
        containers_paused: count(&[Status::Paused]),
        containers_stopped: count(&[Status::Created, Status::Exited, Status::Dead, Status::Removing]),
        images: images.len(),
        driver: "overlay2".to_owned(),
        driver_status: vec![("Supports d_type".to_owned(), "true".to_owned())],
        plugins: Plugins {
            volume: vec!["local".to_owned()],
            network: ["bridge", "host", "ipvlan", "macvlan", "null"].map(str::to_owned).to_vec(),
            authorization: None,
            log: ["journald", "json-file", "local", "none", "syslog"].map(str::to_owned).to_vec(),
        },
        memory_limit: host.controllers.contains("memory"),
        swap_limit: host.controllers.contains("memory") && host.swap_limit,
        cpu_cfs_period: host.controllers.contains("cpu"),
        cpu_cfs_quota: host.controllers.contains("cpu"),
        cpu_shares: host.controllers.contains("cpu"),
        cpu_set: host.controllers.contains("cpuset"),
        pids_limit: host.controllers.contains("pids"),
        ipv4_forwarding: host.forwarding,
        oom_kill_disable: host.cgroup_version == "1",
        debug: facts.debug,
        n_fd: fs_err::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        n_goroutines: fs_err::read_dir("/proc/self/task").map_or(0, Iterator::count),
        system_time: time::nanoseconds(state.now()),
        logging_driver: facts.log_driver.clone(),
        cgroup_driver: "cgroupfs".to_owned(),
        cgroup_version: host.cgroup_version,
        n_events_listener: 0,
        kernel_version: ping::kernel(),
        operating_system: host.operating_system,
        os_version: host.os_version,
        os_type: "linux".to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        index_server_address: INDEX.to_owned(),
        registry_config: registries(&facts.insecure_registries, &facts.registry_mirrors),
        n_cpu: std::thread::available_parallelism().map_or(1, usize::from),
        mem_total: host.memory,
        generic_resources: devices.generic,
        docker_root_dir: facts.data_root.to_string_lossy().into_owned(),
        http_proxy: proxy("HTTP_PROXY"),
        https_proxy: proxy("HTTPS_PROXY"),
        no_proxy: proxy("NO_PROXY"),
        name: facts.host_name.clone(),
        labels: facts.labels.clone(),
        experimental_build: false,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtimes: runtimes.list().into_iter().map(|(name, runtime)| (name, runtime_info(runtime))).collect(),
        default_runtime: runtimes.default_name().to_owned(),
        swarm: super::swarm::told(&state),
        live_restore_enabled: true,
        isolation: String::new(),
        init_binary: "hoist".to_owned(),
        containerd_commit: Commit::default(),
        runc_commit: Commit::default(),
        init_commit: Commit::default(),
        security_options: security_options(),
        default_address_pools: facts
            .address_pools
            .iter()
            .map(|(base, size)| AddressPool { base: base.clone(), size: *size })
            .collect(),
        firewall_backend: (version >= ApiVersion(1, 49)).then(|| Firewall { driver: "nftables".to_owned() }),
        cdi_spec_dirs: devices.spec_dirs,
        discovered_devices: (version >= ApiVersion(1, 50)).then_some(devices.discovered),
        warnings: state.engine.networks().warnings().await.into_iter().chain(devices.warnings).collect(),
    }))
}

fn runtime_info(runtime: OciRuntime) -> RuntimeInfo {
    RuntimeInfo { path: runtime.path.to_string_lossy().into_owned(), args: runtime.args }
}

/// What is told about devices.
struct Devices {
    spec_dirs: Vec<String>,
    discovered: Vec<DiscoveredDevice>,
    generic: Option<Vec<serde_json::Value>>,
    warnings: Vec<String>,
}

/// Names as requests have them. CDI devices are told of by all their names, others by their first.
async fn devices(state: &State) -> Result<Devices, ApiError> {
    let devices = state.engine.devices().clone();
    let spec_dirs = devices.spec_dirs().iter().map(|dir| dir.to_string_lossy().into_owned()).collect();
    let inventory = tokio::task::spawn_blocking(move || devices.inventory()).await.map_err(ApiError::lost)?;
    let (mut discovered, mut generic) = (Vec::new(), Vec::new());
    for kind in &inventory.kinds {
        if kind.source == hoist_device::Source::Declared {
            let count = kind.devices.len();
            generic.push(serde_json::json!({ "DiscreteResourceSpec": { "Kind": kind.name, "Value": count } }));
        }
        let names = kind.devices.iter().flat_map(|device| std::iter::once(&device.name).chain(&device.aliases));
        let names = names.chain(kind.groups.keys());
        discovered.extend(
            names
                .filter(|_| kind.name.contains('/'))
                .map(|name| DiscoveredDevice { source: "cdi".to_owned(), id: format!("{}={name}", kind.name) }),
        );
    }
    let generic = (!generic.is_empty()).then_some(generic);
    Ok(Devices { spec_dirs, discovered, generic, warnings: inventory.warnings })
}

fn proxy(name: &str) -> String {
    std::env::var(name).or_else(|_| std::env::var(name.to_lowercase())).unwrap_or_default()
}

fn registries(insecure: &[String], mirrors: &[String]) -> RegistryConfig {
    let (networks, hosts): (Vec<&String>, Vec<&String>) = insecure.iter().partition(|entry| entry.contains('/'));
    let own = IndexInfo { name: "docker.io".to_owned(), mirrors: mirrors.to_vec(), secure: true, official: true };
    let mut index_configs = BTreeMap::from([("docker.io".to_owned(), own)]);
    for host in hosts {
        index_configs.insert(host.clone(), IndexInfo { name: host.clone(), ..IndexInfo::default() });
    }
    let loopback = ["::1/128".to_owned(), "127.0.0.0/8".to_owned()];
    RegistryConfig {
        insecure_registry_cidrs: networks.into_iter().cloned().chain(loopback).collect(),
        index_configs,
        mirrors: mirrors.to_vec(),
    }
}

fn security_options() -> Vec<String> {
    let mut options = Vec::new();
    if fs_err::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y')) {
        options.push("name=apparmor".to_owned());
    }
    options.push("name=seccomp,profile=builtin".to_owned());
    if fs_err::metadata("/proc/self/ns/cgroup").is_ok() {
        options.push("name=cgroupns".to_owned());
    }
    options
}

/// What the machine tells of itself.
#[derive(Debug, Default)]
pub struct Host {
    controllers: String,
    cgroup_version: String,
    swap_limit: bool,
    forwarding: bool,
    /// Bytes.
    pub memory: u64,
    pub operating_system: String,
    pub os_version: String,
}

impl Host {
    pub fn read() -> Self {
        let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
        let unified = read("/sys/fs/cgroup/cgroup.controllers");
        let (controllers, version) = if unified.is_empty() {
            // Lines of `name hierarchy cgroups enabled`.
            let table = read("/proc/cgroups");
            let names = table.lines().filter(|line| line.ends_with('1')).filter_map(|line| line.split('\t').next());
            (names.collect::<Vec<_>>().join(" "), "1")
        } else {
            (unified, "2")
        };
        let release = read("/etc/os-release");
        let field = |name: &str| {
            release
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .map(|value| value.trim_matches('"').to_owned())
                .unwrap_or_default()
        };
        let memory = read("/proc/meminfo")
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
            .unwrap_or(0);
        Self {
            swap_limit: version == "2" || fs_err::metadata("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").is_ok(),
            controllers,
            cgroup_version: version.to_owned(),
            forwarding: read("/proc/sys/net/ipv4/ip_forward").trim() == "1",
            memory: memory * 1024,
            operating_system: field("PRETTY_NAME"),
            os_version: field("VERSION_ID"),
        }
    }
}
