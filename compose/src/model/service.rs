use serde::{Deserialize, Serialize};

use super::container::{
    BlkioConfig, CredentialSpec, Dependency, DeviceMapping, EnvFile, ExtraHosts, Healthcheck, Hook, Logging, PreStart,
    Provider, ServiceModel, Ulimit,
};
use super::{
    Build, ByteSize, Deploy, Develop, DeviceRequest, Duration, Extensions, FileMount, Map, Mount, Port, ScalarError,
    ServiceNetwork, is_default,
};

/// One service: what its containers run and how (05-services.md).
///
/// `None` and empty mean that the file says nothing, so that the image's or
/// the engine's default holds. Numbers are in the units of the specification.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The key under `services`; not printed, as it is that key.
    #[serde(skip)]
    pub name: String,
    /// Profiles that enable the service; empty: always enabled (15-profiles.md).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// OCI annotations of the container.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String>,
    /// Whether `up` shows this service's output; unset means yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<bool>,
    /// How to build the image (build.md).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// Rules for `watch` (develop.md).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub develop: Option<Develop>,
    /// Block IO limits and weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blkio_config: Option<BlkioConfig>,
    /// Capabilities beyond the default set; `ALL` for every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities taken from the default set; `ALL` for every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// The parent control group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_parent: Option<String>,
    /// The cgroup namespace: `host` or `private`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Number of usable CPUs (Windows containers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_count: Option<i64>,
    /// Usable percentage of the CPUs (Windows containers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// CFS period in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_period: Option<i64>,
    /// CFS quota in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<i64>,
    /// Real-time period in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_rt_period: Option<i64>,
    /// Real-time runtime in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_rt_runtime: Option<i64>,
    /// Number of CPUs, fractional; 0 is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// The CPUs that may be used: `0-3`, `0,1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpuset: Option<String>,
    /// Relative CPU weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<i64>,
    /// Replaces the image's command; `Some([])` clears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Configs mounted as files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<FileMount>,
    /// The container's name; then the service cannot be scaled beyond one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// Managed service account (Windows containers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_spec: Option<CredentialSpec>,
    /// Services that come first, and what is waited for.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub depends_on: Map<Dependency>,
    /// Replicas, resources, placement, updates (deploy.md).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<Deploy>,
    /// Device rules in the kernel's format: `c 1:3 mr`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_cgroup_rules: Vec<String>,
    /// Devices given to the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceMapping>,
    /// DNS servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// Resolver options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_opt: Vec<String>,
    /// DNS search domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<String>,
    /// The domain name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Replaces the image's entry point; `Some([])` clears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// An outside program that manages this service instead of the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// The environment. `None` as a value: the variable is not set in the
    /// container, not even when the image sets it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub environment: Map<Option<String>>,
    /// Files that `environment` was filled from; kept only when the loader
    /// was asked not to resolve the environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_file: Vec<EnvFile>,
    /// Ports that linked services may reach, unpublished: `3000`, `8080-8085/tcp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<String>,
    /// Containers outside the project, `NAME` or `NAME:ALIAS`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_links: Vec<String>,
    /// Lines for `/etc/hosts`.
    #[serde(default, skip_serializing_if = "ExtraHosts::is_empty")]
    pub extra_hosts: ExtraHosts,
    /// Additional groups of the container's user, names or numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_add: Vec<String>,
    /// GPU requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<DeviceRequest>,
    /// The host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// How to tell that a container is healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The image reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Whether PID 1 is a reaper that forwards signals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// IPC namespace: `shareable`, `private`, `host`, `none`, `service:NAME`, `container:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipc: Option<String>,
    /// Isolation technology; platform specific.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// Labels of the containers.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String>,
    /// Files that `labels` was filled from; kept only when unresolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label_file: Vec<String>,
    /// Links to other services, `SERVICE` or `SERVICE:ALIAS`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Log driver and its options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// Memory limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mem_limit: Option<ByteSize>,
    /// Memory that is reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mem_reservation: Option<ByteSize>,
    /// Memory and swap together; -1 is unlimited swap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memswap_limit: Option<ByteSize>,
    /// Percentage, 0 to 100; -1 is the kernel's default.
    #[serde(default, with = "number_as_text", skip_serializing_if = "Option::is_none")]
    pub mem_swappiness: Option<i64>,
    /// The MAC address on the network of the highest priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// AI models that the service uses.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub models: Map<ServiceModel>,
    /// `none`, `host`, `bridge`, `service:NAME` or `container:NAME`; excludes `networks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<String>,
    /// The networks that the containers join.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub networks: Map<Option<ServiceNetwork>>,
    /// Whether the kernel may not kill the container when memory is short.
    #[serde(default, skip_serializing_if = "is_default")]
    pub oom_kill_disable: bool,
    /// -1000 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i64>,
    /// PID namespace: `host`, `service:NAME`, `container:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<String>,
    /// Limit of processes; -1 is unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<i64>,
    /// `os[/arch[/variant]]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Published ports, one entry for each port or long-syntax range.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// All capabilities and devices, no confinement.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// When to pull; see [`Service::pull_policy`] for its parsed form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<String>,
    /// Age after which an image is looked up again; a duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_refresh_after: Option<String>,
    /// A read-only root file system.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// `no`, `always`, `on-failure[:N]`, `unless-stopped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// The OCI runtime's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Number of containers; equal to `deploy.replicas` when both are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<u64>,
    /// Secrets mounted as files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<FileMount>,
    /// `no-new-privileges`, `seccomp=…`, `apparmor=…`, `label:…`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<String>,
    /// Size of `/dev/shm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<ByteSize>,
    /// Whether standard input stays open.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stdin_open: bool,
    /// From the stop signal to SIGKILL; 10 s when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_grace_period: Option<Duration>,
    /// The signal that stops the containers; SIGTERM when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Options of the storage driver.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub storage_opt: Map<String>,
    /// Kernel parameters of the container's namespaces.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub sysctls: Map<String>,
    /// tmpfs mounts, `PATH` or `PATH:OPTIONS`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<String>,
    /// Whether the process gets a terminal.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tty: bool,
    /// Resource limits by name, without `RLIMIT_`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub ulimits: Map<Ulimit>,
    /// Whether the engine's socket and the user's credentials are mounted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub use_api_socket: bool,
    /// `user[:group]`, names or numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// User namespace: `host` or platform specific.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userns_mode: Option<String>,
    /// UTS namespace: `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uts: Option<String>,
    /// Mounts, in the long syntax.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Mount>,
    /// Mounts of others: `SERVICE[:ro|rw]`, `container:NAME[:ro|rw]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<String>,
    /// The working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Containers that run to completion before the service starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_start: Vec<PreStart>,
    /// Commands run in the container after it started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_start: Vec<Hook>,
    /// Commands run in the container before it is stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_stop: Vec<Hook>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// A number that Compose prints as text.
mod number_as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(number: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        match number {
            Some(number) => serializer.collect_str(number),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(i64),
            Text(String),
        }
        Ok(match Option::<Form>::deserialize(deserializer)? {
            None => None,
            Some(Form::Number(number)) => Some(number),
            Some(Form::Text(text)) => Some(text.parse().map_err(D::Error::custom)?),
        })
    }
}

/// The parsed form of `pull_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Ask the registry every time.
    Always,
    /// Only what is here.
    Never,
    /// Pull what is not here.
    Missing,
    /// Build, also when the image is here.
    Build,
    /// Ask the registry when the last pull is older than this.
    Refresh(Duration),
}

impl PullPolicy {
    /// Reads the text form (05-services.md, "pull_policy").
    pub fn parse(text: &str) -> Result<PullPolicy, ScalarError> {
        const DAY: u64 = 86_400;
        Ok(match text {
            "always" => PullPolicy::Always,
            "never" => PullPolicy::Never,
            "missing" | "if_not_present" => PullPolicy::Missing,
            "build" => PullPolicy::Build,
            "refresh" => PullPolicy::Refresh(Duration(0)),
            "daily" => PullPolicy::Refresh(Duration::from_secs(DAY)),
            "weekly" => PullPolicy::Refresh(Duration::from_secs(7 * DAY)),
            _ => match text.strip_prefix("every_") {
                Some(period) => PullPolicy::Refresh(period.parse()?),
                None => return Err(ScalarError::Duration(text.to_owned())),
            },
        })
    }
}

impl Service {
    /// How many containers to run in replicated mode.
    pub fn replicas(&self) -> u64 {
        self.scale.or_else(|| self.deploy.as_ref().and_then(|d| d.replicas)).unwrap_or(1)
    }

    /// When to pull the image; `None` where the file does not say.
    pub fn pull_policy(&self) -> Option<PullPolicy> {
        let policy = PullPolicy::parse(self.pull_policy.as_deref()?).ok()?;
        match (policy, self.pull_refresh_after.as_deref().map(str::parse)) {
            (PullPolicy::Refresh(Duration(0)), Some(Ok(after))) => Some(PullPolicy::Refresh(after)),
            (policy, _) => Some(policy),
        }
    }

    /// The names of the networks, highest priority first, then by name.
    pub fn networks_by_priority(&self) -> Vec<&str> {
        let mut names: Vec<(f64, &str)> = self
            .networks
            .iter()
            .map(|(name, network)| (network.as_ref().and_then(|n| n.priority).unwrap_or(0.0), name.as_str()))
            .collect();
        names.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        names.into_iter().map(|(_, name)| name).collect()
    }
}
