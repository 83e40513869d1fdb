//! The daemon's settings: what flags, file, environment and defaults come to.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use hoist_engine::{ContainerDefaults, OciRuntime, Runtimes};
use hoist_network::{Pool, Subnet};
use hoist_proto::{
    protocol::Protocol,
    spec::{Logging, NamespaceMode, SeccompChoice, Ulimit},
    unit,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    DaemonError,
    roots::{DATA_ROOT, RUN_ROOT},
};

/// All settings of a daemon, under dockerd's names for them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct DaemonSettings {
    pub data_root: PathBuf,
    #[serde(rename = "exec-root")]
    pub run_root: PathBuf,
    pub hosts: Vec<String>,
    pub group: Option<String>,
    pub pidfile: Option<PathBuf>,
    pub log_level: LogLevel,
    pub log_format: LogFormat,
    /// Full times and no colours: so the log always is.
    pub raw_logs: bool,
    pub metrics_addr: Option<std::net::SocketAddr>,
    pub debug: bool,
    pub tlsverify: bool,
    pub tlscacert: Option<PathBuf>,
    pub tlscert: Option<PathBuf>,
    pub tlskey: Option<PathBuf>,
    pub insecure_registries: Vec<String>,
    pub registry_mirrors: Vec<String>,
    pub proxies: Proxies,
    pub default_address_pools: Vec<AddressPool>,
    pub bip: Option<String>,
    pub bridge: Option<String>,
    pub fixed_cidr: Option<String>,
    pub fixed_cidr_v6: Option<String>,
    pub default_gateway: Option<Ipv4Addr>,
    pub default_gateway_v6: Option<Ipv6Addr>,
    pub ipv6: bool,
    pub icc: Option<bool>,
    pub ip_masq: Option<bool>,
    pub ip: Option<IpAddr>,
    pub default_network_opts: BTreeMap<String, BTreeMap<String, String>>,
    pub host_gateway_ip: Option<IpAddr>,
    pub host_gateway_ips: Vec<IpAddr>,
    pub mtu: Option<u32>,
    pub dns: Vec<IpAddr>,
    pub dns_search: Vec<String>,
    pub dns_opts: Vec<String>,
    pub log_driver: Option<String>,
    pub log_opts: BTreeMap<String, String>,
    pub default_ulimits: BTreeMap<String, Limit>,
    pub default_shm_size: Option<Size>,
    pub init: bool,
    pub no_new_privileges: bool,
    pub cgroup_parent: Option<String>,
    pub exec_opts: Vec<String>,
    pub default_ipc_mode: Option<String>,
    pub default_cgroupns_mode: Option<String>,
    pub seccomp_profile: Option<String>,
    pub default_runtime: Option<String>,
    pub runtimes: BTreeMap<String, Runtime>,
    pub oom_score_adjust: Option<i32>,
    pub swarm_default_advertise_addr: Option<String>,
    pub userland_proxy: Option<bool>,
    pub max_concurrent_downloads: Option<usize>,
    pub max_concurrent_uploads: Option<usize>,
    pub max_download_attempts: Option<u32>,
    pub labels: Vec<String>,
    pub cdi_spec_dirs: Option<Vec<PathBuf>>,
    pub features: BTreeMap<String, bool>,
    pub node_generic_resources: Vec<String>,
    /// The newest version of the cluster's protocol that this node is to speak.
    pub cluster_protocol: Option<u32>,
    /// Devices of this node by kind.
    pub devices: BTreeMap<String, hoist_device::Declared>,
}

/// `proxies`: how registries are reached; the environment's variables where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Proxies {
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    pub no_proxy: Option<String>,
}

/// A range of `default-address-pools`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressPool {
    pub base: String,
    pub size: u8,
}

/// A limit of `default-ulimits`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
pub struct Limit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// A runtime of `runtimes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Runtime {
    pub path: PathBuf,
    pub runtime_args: Vec<String>,
}

/// Bytes, as a number or as `64m`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Size {
    Bytes(u64),
    Text(String),
}

/// How much the daemon logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
    /// Docker's further level; here as `error`.
    Fatal,
}

/// How the daemon's log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    /// An object a line.
    Json,
}

impl LogLevel {
    pub fn as_filter(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error | Self::Fatal => "error",
        }
    }
}

impl DaemonSettings {
    /// From settings by their names; every value is looked at.
    ///
    /// # Errors
    /// In words, for the first value that makes no sense.
    pub fn of(map: Map<String, Value>) -> Result<Self, String> {
        let mut settings: Self = serde_path_to_error::deserialize(Value::Object(map))
            .map_err(|err| format!("{}: {}", err.path().clone(), err.inner()))?;
        let or_default = |path: &mut PathBuf, default: &str| {
            if path.as_os_str().is_empty() {
                *path = default.into();
            }
        };
        or_default(&mut settings.data_root, DATA_ROOT);
        or_default(&mut settings.run_root, RUN_ROOT);
        settings.check().map_err(|err| err.chain())?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), DaemonError> {
        self.address_pools()?;
        self.defaults()?.check().map_err(DaemonError::part("the default for containers"))?;
        self.runtimes().check().map_err(DaemonError::part("the OCI runtimes"))?;
        self.devices()?;
        for label in &self.labels {
            if !label.contains('=') {
                return Err(wrong("label", label, "expected KEY=VALUE"));
            }
        }
        for host in &self.hosts {
            super::listener::check(host, self)?;
        }
        for (setting, count) in [
            ("max-concurrent-downloads", self.max_concurrent_downloads),
            ("max-concurrent-uploads", self.max_concurrent_uploads),
        ] {
            if count == Some(0) {
                return Err(wrong(setting, "0", "expected a number above zero"));
            }
        }
        if let Some(score) = self.oom_score_adjust.filter(|score| !(-1000..=1000).contains(score)) {
            return Err(wrong("oom-score-adjust", &score.to_string(), "expected a number from -1000 to 1000"));
        }
        for option in &self.exec_opts {
            if option != "native.cgroupdriver=cgroupfs" {
                return Err(wrong("exec-opt", option, "only native.cgroupdriver=cgroupfs is supported"));
            }
        }
        self.protocol()?;
        super::network::apply(self, &mut hoist_network::Options::new("", ""))
    }

    /// `cdi-spec-dirs`, `features.cdi`, `node-generic-resources` and `devices`.
    pub fn devices(&self) -> Result<hoist_device::Devices, DaemonError> {
        let usual = hoist_device::Options::default();
        if let Some((feature, on)) = self.features.iter().find(|(name, on)| {
            // Images are in a content store of their own kind here, with or without this word.
            !(name.as_str() == "cdi" || name.as_str() == "buildkit" && **on)
        }) {
            return Err(wrong(
                "features",
                &format!("{feature}={on}"),
                "is not supported: there are cdi, and buildkit=true",
            ));
        }
        if let Some(dir) =
            self.cdi_spec_dirs.iter().flatten().find(|dir| !dir.is_absolute() && !dir.as_os_str().is_empty())
        {
            return Err(wrong("cdi-spec-dir", &dir.to_string_lossy(), "expected an absolute path"));
        }
        let named =
            self.cdi_spec_dirs.clone().map(|dirs| dirs.into_iter().filter(|dir| !dir.as_os_str().is_empty()).collect());
        let spec_dirs = match self.features.get("cdi") {
            Some(false) => Vec::new(),
            _ => named.unwrap_or(usual.spec_dirs),
        };
        let options = hoist_device::Options {
            spec_dirs,
            declared: self.devices.clone(),
            generic: self.node_generic_resources.clone(),
            hardware: usual.hardware,
        };
        hoist_device::Devices::new(options).map_err(DaemonError::part("the devices"))
    }

    /// `cluster-protocol`.
    pub fn protocol(&self) -> Result<Protocol, DaemonError> {
        let Some(version) = self.cluster_protocol else { return Ok(Protocol::NEWEST) };
        Protocol::spoken(version).map_err(|why| wrong("cluster-protocol", &version.to_string(), &why.to_string()))
    }

    /// `default-address-pools`.
    pub fn address_pools(&self) -> Result<Vec<Pool>, DaemonError> {
        self.default_address_pools.iter().map(pool).collect()
    }

    /// A subnet in the value of a setting.
    pub fn subnet(&self, setting: &'static str, text: &str) -> Result<Subnet, DaemonError> {
        text.parse().map_err(|_| wrong(setting, text, "expected an address and a prefix length, such as 10.0.0.1/24"))
    }

    /// The OCI runtimes beside our own, and the default.
    pub fn runtimes(&self) -> Runtimes {
        let other = |runtime: &Runtime| OciRuntime { path: runtime.path.clone(), args: runtime.runtime_args.clone() };
        Runtimes {
            others: self.runtimes.iter().map(|(name, runtime)| (name.clone(), other(runtime))).collect(),
            default: self.default_runtime.clone(),
        }
    }

    /// `private`, or the one other mode that a kind of namespace can have for all containers.
    fn namespace(
        &self,
        setting: &'static str,
        mode: Option<&str>,
        other: &str,
    ) -> Result<Option<NamespaceMode>, DaemonError> {
        match mode {
            None => Ok(None),
            Some("private") => Ok(Some(NamespaceMode::Private)),
            Some("host") if other == "host" => Ok(Some(NamespaceMode::Host)),
            Some("shareable") if other == "shareable" => Ok(Some(NamespaceMode::Shareable)),
            Some(mode) => Err(wrong(setting, mode, &format!("expected private or {other}"))),
        }
    }

    /// `seccomp-profile`: a file, `builtin` or `unconfined`.
    fn seccomp(&self) -> Result<SeccompChoice, DaemonError> {
        match self.seccomp_profile.as_deref() {
            None | Some("" | "builtin") => Ok(SeccompChoice::Default),
            Some("unconfined") => Ok(SeccompChoice::Unconfined),
            Some(path) => fs_err::read_to_string(path).map(SeccompChoice::Profile).map_err(DaemonError::Files),
        }
    }

    /// What containers get that say nothing themselves.
    pub fn defaults(&self) -> Result<ContainerDefaults, DaemonError> {
        let ulimits = self.default_ulimits.iter().map(|(name, limit)| {
            if !limit.name.is_empty() && limit.name != *name {
                return Err(wrong("default-ulimit", &limit.name, "its key has another name"));
            }
            Ok(Ulimit { name: name.clone(), soft: limit.soft, hard: limit.hard })
        });
        let shm_size = match &self.default_shm_size {
            None => None,
            Some(Size::Bytes(bytes)) => Some(*bytes),
            Some(Size::Text(text)) => {
                Some(unit::parse_bytes(text).map_err(|err| wrong("default-shm-size", text, &err.to_string()))?)
            }
        };
        Ok(ContainerDefaults {
            logging: Logging { driver: self.log_driver.clone(), options: self.log_opts.clone() },
            ulimits: ulimits.collect::<Result<_, _>>()?,
            shm_size,
            init: self.init,
            dns_search: self.dns_search.clone(),
            dns_options: self.dns_opts.clone(),
            ipc: self.namespace("default-ipc-mode", self.default_ipc_mode.as_deref(), "shareable")?,
            cgroup_namespace: self.namespace("default-cgroupns-mode", self.default_cgroupns_mode.as_deref(), "host")?,
            seccomp: self.seccomp()?,
            host_gateway: self.host_gateway_ip.into_iter().chain(self.host_gateway_ips.iter().copied()).collect(),
            no_new_privileges: self.no_new_privileges,
        })
    }
}

pub(super) fn wrong(setting: &'static str, value: &str, reason: &str) -> DaemonError {
    DaemonError::Setting { setting, value: value.to_owned(), reason: reason.to_owned() }
}

fn pool(given: &AddressPool) -> Result<Pool, DaemonError> {
    let AddressPool { base, size } = given;
    let text = format!("base={base},size={size}");
    let fail = |reason: &str| wrong("default-address-pool", &text, reason);
    let base: Subnet = base.parse().map_err(|_| fail("base is no subnet"))?;
    let most = if base.is_ipv6() { 128 } else { 32 };
    if *size < base.prefix() || *size > most {
        return Err(fail("size must lie between the base's prefix length and the whole address"));
    }
    Ok(Pool { base, size: *size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools() {
        let given = |base: &str, size| pool(&AddressPool { base: base.to_owned(), size });
        let made = given("10.0.0.0/8", 24).unwrap();
        assert_eq!((made.base.to_string(), made.size), ("10.0.0.0/8".to_owned(), 24));
        for (base, size) in [("", 24), ("x", 24), ("10.0.0.0/8", 4), ("10.0.0.0/8", 40)] {
            assert!(given(base, size).unwrap_err().to_string().contains("default-address-pool"), "{base} {size}");
        }
    }
}
