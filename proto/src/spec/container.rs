//! A container as a person means it: everything `docker run` and a compose service can say.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Mount, NetworkAttachment, Resources, Ulimit};

/// All that defines a container. What is `None` or empty is taken from the image or from the daemon's defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case")]
pub struct ContainerSpec {
    /// The name, without a slash; empty lets the engine choose one.
    pub name: String,
    /// The image as the person wrote it.
    pub image: String,
    /// `os/arch[/variant]`, when not the machine's own.
    pub platform: Option<String>,
    /// When to fetch the image.
    pub pull: PullPolicy,
    /// `None` keeps the image's; an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// `None` keeps the image's (unless `entrypoint` is given).
    pub command: Option<Vec<String>>,
    /// `KEY=VALUE`; a bare `KEY` removes the image's variable.
    pub env: Vec<String>,
    pub working_dir: Option<String>,
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    pub group_add: Vec<String>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    /// Name or number; `None` is the image's, else SIGTERM.
    pub stop_signal: Option<String>,
    /// How long a stop waits before it kills; `None` is ten seconds.
    pub stop_grace_period: Option<Duration>,
    /// `None` keeps the image's.
    pub healthcheck: Option<Healthcheck>,
    /// Runs an init that reaps zombies and forwards signals as PID 1.
    pub init: Option<bool>,
    pub restart: RestartPolicy,
    /// Removed, with its anonymous volumes, once it has stopped.
    pub auto_remove: bool,
    pub read_only: bool,
    pub mounts: Vec<Mount>,
    /// Containers (`name[:ro|rw]`) whose mounts are taken over.
    pub volumes_from: Vec<String>,
    /// Secrets and configs put in as files.
    pub files: Vec<FileMount>,
    pub network_mode: NetworkMode,
    /// In order; used when `network_mode` is [`NetworkMode::Networks`].
    pub networks: Vec<NetworkAttachment>,
    pub ports: Vec<PortSpec>,
    /// `port[-port][/protocol]`, told to others and not published.
    pub expose: Vec<String>,
    /// Publishes every exposed port on a free one of the host.
    pub publish_all: bool,
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    /// `(name, address)`; the address may be `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
    /// `container[:alias]`.
    pub links: Vec<String>,
    pub resources: Resources,
    pub security: Security,
    pub namespaces: Namespaces,
    pub sysctls: BTreeMap<String, String>,
    pub ulimits: Vec<Ulimit>,
    /// Size of `/dev/shm` in bytes; `None` is 64 MiB.
    pub shm_size: Option<u64>,
    pub storage_options: BTreeMap<String, String>,
    pub oom_kill_disable: bool,
    pub oom_score_adj: Option<i32>,
    pub logging: Logging,
    /// The OCI runtime by name; `None` is the daemon's default.
    pub runtime: Option<String>,
    /// Commands run in the container right after it started.
    pub post_start: Vec<Hook>,
    /// Commands run in the container before it is stopped.
    pub pre_stop: Vec<Hook>,
    /// What a client wants to find again; nothing follows from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noted: Option<Noted>,
}

/// What Docker's clients write down with a container and read again when they look at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Noted {
    /// Standard input, output and error: which of them the client attached to.
    pub attached: [bool; 3],
    /// Rows and columns of the client's terminal.
    pub console_size: (u16, u16),
    /// The client's file with the container's id.
    pub id_file: String,
    /// The driver that volumes were to have which say none.
    pub volume_driver: String,
    /// No network was wanted, whatever else was said of networks.
    pub network_disabled: bool,
}

/// When an image is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// When the node lacks it.
    #[default]
    Missing,
    Always,
    Never,
}

/// A command that tells whether a container is well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", text]`; empty keeps the image's test.
    pub test: Vec<String>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub start_period: Option<Duration>,
    pub start_interval: Option<Duration>,
    pub retries: Option<u32>,
}

/// What happens when a container ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    #[default]
    No,
    Always,
    UnlessStopped,
    /// Only after a failure, at most so often; `None` is without end.
    OnFailure {
        max_retries: Option<u32>,
    },
}

/// Which network namespace a container lives in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// Its own, connected to `networks`; to the default network when none is listed.
    #[default]
    Networks,
    /// Its own, with nothing but loopback.
    None,
    Host,
    /// Another container's, by name or id.
    Container(String),
}

/// A published port or range.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortSpec {
    /// Address on the host; `None` is all of them.
    pub host_ip: Option<std::net::IpAddr>,
    /// First and last port on the host; `None` lets the engine choose.
    pub host_port: Option<(u16, u16)>,
    /// First and last port in the container.
    pub container_port: (u16, u16),
    pub protocol: Protocol,
    /// On a cluster: on every node (`ingress`) or where the task runs (`host`).
    pub mode: PublishMode,
    pub name: Option<String>,
    pub app_protocol: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl std::str::FromStr for Protocol {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(format!("unknown protocol {text:?}: expected tcp, udp or sctp")),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishMode {
    #[default]
    Ingress,
    Host,
}

impl PortSpec {
    /// Whether a cluster publishes it on every node. A port of one address of the host is that host's own.
    pub fn is_meshed(&self) -> bool {
        self.mode == PublishMode::Ingress && self.host_ip.is_none()
    }
}

/// Which namespaces are shared with the host or with another container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    pub pid: NamespaceMode,
    pub ipc: NamespaceMode,
    pub uts: NamespaceMode,
    pub cgroup: NamespaceMode,
    pub user: NamespaceMode,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceMode {
    /// The daemon's default for this kind of namespace.
    #[default]
    Default,
    Private,
    /// (ipc) private, and others may join it.
    Shareable,
    /// (ipc) private, with no `/dev/shm`.
    None,
    Host,
    /// Another container's, by name or id.
    Container(String),
}

/// What a container's processes may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    pub privileged: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub no_new_privileges: bool,
    pub seccomp: SeccompChoice,
    pub apparmor: Option<String>,
    /// `user:…`, `role:…`, `type:…`, `level:…`, `disable`.
    pub selinux: Vec<String>,
    /// Leaves `/proc` and `/sys` unmasked (`systempaths=unconfined`).
    pub unmasked_paths: bool,
    /// Explicit lists instead of the defaults.
    pub masked_paths: Option<Vec<String>>,
    pub readonly_paths: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeccompChoice {
    #[default]
    Default,
    Unconfined,
    /// A profile in Docker's JSON form, as text.
    Profile(String),
}

/// Where output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// `None` is the daemon's default, `json-file` with rotation.
    pub driver: Option<String>,
    pub options: BTreeMap<String, String>,
}

/// A command run in a container at a moment of its life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    pub command: Vec<String>,
    pub user: Option<String>,
    pub privileged: bool,
    pub working_dir: Option<String>,
    pub env: Vec<String>,
}

/// A secret or a config, put into the container as a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileMount {
    /// The name by which the compose file knows it, for messages.
    pub source: String,
    pub target: String,
    pub uid: u32,
    pub gid: u32,
    /// Permission bits, `0o444` by default.
    pub mode: Option<u32>,
    /// Secrets live on tmpfs only.
    pub secret: bool,
    pub content: FileContent,
}

/// Where the bytes of a [`FileMount`] come from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileContent {
    Inline(#[serde(with = "base64_bytes")] Vec<u8>),
    /// A file of the host.
    HostPath(String),
    /// A [`super::Secret`] or [`super::Config`] of the cluster, by id; the agent puts the bytes in
    /// before the engine sees it, so that no stored spec holds a secret.
    Stored(String),
}

impl Default for FileContent {
    fn default() -> Self {
        Self::Inline(Vec::new())
    }
}

// The bytes may be a secret, and specs get into logs.
impl std::fmt::Debug for FileContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inline(bytes) => write!(f, "Inline({} bytes)", bytes.len()),
            Self::HostPath(path) => write!(f, "HostPath({path:?})"),
            Self::Stored(id) => write!(f, "Stored({id})"),
        }
    }
}

mod base64_bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
