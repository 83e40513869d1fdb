//! The parts of a service that are structures of their own.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{ByteSize, Duration, Extensions, Map, is_default};

/// Block IO limits (05-services.md, "blkio_config").
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BlkioConfig {
    /// Relative weight, 10 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Relative weight by device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weight_device: Vec<WeightDevice>,
    /// Bytes read a second, by device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_read_bps: Vec<ThrottleDevice>,
    /// Reads a second, by device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_read_iops: Vec<ThrottleDevice>,
    /// Bytes written a second, by device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_write_bps: Vec<ThrottleDevice>,
    /// Writes a second, by device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_write_iops: Vec<ThrottleDevice>,
}

/// The weight of one device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WeightDevice {
    /// The device's path on the host.
    #[serde(default)]
    pub path: String,
    /// 10 to 1000.
    #[serde(default)]
    pub weight: u16,
}

/// The rate limit of one device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ThrottleDevice {
    /// The device's path on the host.
    #[serde(default)]
    pub path: String,
    /// Bytes or operations a second.
    #[serde(default)]
    pub rate: ByteSize,
}

/// Credential spec of a managed service account; one of the three is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CredentialSpec {
    /// The name of a config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// A file's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A value in the registry of Windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// What is waited for before a dependent service starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyCondition {
    /// The containers were started.
    #[default]
    ServiceStarted,
    /// The healthcheck passes.
    ServiceHealthy,
    /// The containers ended with exit code 0.
    ServiceCompletedSuccessfully,
}

/// One entry of `depends_on`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    /// What is waited for.
    #[serde(default)]
    pub condition: DependencyCondition,
    /// Whether this service is restarted when the other one is updated.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restart: bool,
    /// Whether it is an error that the other one is not there or fails.
    #[serde(default = "yes")]
    pub required: bool,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

fn yes() -> bool {
    true
}

/// A device given to the container: a path, or a CDI name as `source`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceMapping {
    /// Path on the host, or a CDI name (`vendor.com/class=name`).
    pub source: String,
    /// Path in the container; equal to `source` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Some of `rwm`; all of them when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// One file of environment variables. Printed as its path alone where the
/// rest is as usual.
#[derive(Debug, Clone, PartialEq)]
pub struct EnvFile {
    /// The file's path.
    pub path: String,
    /// Whether it is an error that the file is not there.
    pub required: bool,
    /// `raw`: values as they are, without quotes or interpolation.
    pub format: Option<String>,
}

impl Serialize for EnvFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.required && self.format.is_none() {
            return serializer.serialize_str(&self.path);
        }
        #[derive(Serialize)]
        struct Long<'a> {
            path: &'a str,
            required: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            format: Option<&'a str>,
        }
        Long { path: &self.path, required: self.required, format: self.format.as_deref() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EnvFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Short(String),
            Long {
                path: String,
                #[serde(default = "yes")]
                required: bool,
                #[serde(default)]
                format: Option<String>,
            },
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Short(path) => EnvFile { path, required: true, format: None },
            Form::Long { path, required, format } => EnvFile { path, required, format },
        })
    }
}

/// How to tell that a container is healthy; unset fields are the image's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// `NONE`, `CMD` and arguments, or `CMD-SHELL` and a command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<String>>,
    /// How long one test may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// From the end of one test to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Failures in a row until unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
    /// Time from the start in which failures do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Duration>,
    /// Interval within the start period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<Duration>,
    /// Whether the image's healthcheck is switched off.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disable: bool,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// A command run in a running container (`post_start`, `pre_stop`, `exec` of a watch rule).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// The command and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// The user; the service's when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether it runs with all privileges.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// The directory; the service's when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Variables beyond the service's; they win.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub environment: Map<Option<String>>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// A container that runs to completion before the service starts (`pre_start`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PreStart {
    /// The command; the image's when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// The image; the service's when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether it runs with all privileges.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// The working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Variables beyond the service's; they win.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub environment: Map<Option<String>>,
    /// Once for each replica, instead of once for the service.
    #[serde(default, skip_serializing_if = "is_default")]
    pub per_replica: bool,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// Log driver and its options.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Logging {
    /// The driver; the engine's default when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The driver's options.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// An outside program that manages a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    /// The program's name.
    #[serde(rename = "type")]
    pub kind: String,
    /// Options for the program, each a scalar or a list of scalars.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<Value>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// The names of the variables through which a service learns of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceModel {
    /// The variable that holds the endpoint's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_var: Option<String>,
    /// The variable that holds the model's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_var: Option<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// A resource limit; -1 is unlimited. Printed as one number when both are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// What holds, and the process may raise up to `hard`.
    pub soft: i64,
    /// The upper bound.
    pub hard: i64,
    /// Whether it was given as one number.
    pub single: bool,
}

impl Serialize for Ulimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.single {
            return serializer.serialize_i64(self.soft);
        }
        #[derive(Serialize)]
        struct Both {
            soft: i64,
            hard: i64,
        }
        Both { soft: self.soft, hard: self.hard }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ulimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(i64),
            Both { soft: i64, hard: i64 },
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::One(limit) => Ulimit { soft: limit, hard: limit, single: true },
            Form::Both { soft, hard } => Ulimit { soft, hard, single: false },
        })
    }
}

/// Host names and their addresses; printed as `host=address` lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtraHosts(pub Map<Vec<String>>);

impl ExtraHosts {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every pair of a host and one of its addresses.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(host, ips)| ips.iter().map(move |ip| (host.as_str(), ip.as_str())))
    }
}

/// Splits `host=address` or `host:address`; brackets around an address are taken off.
pub(crate) fn split_host(entry: &str) -> Option<(&str, &str)> {
    let (host, ip) = entry.split_once('=').or_else(|| entry.split_once(':'))?;
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    (!host.is_empty() && !ip.is_empty()).then_some((host, ip))
}

impl Serialize for ExtraHosts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.pairs().map(|(host, ip)| format!("{host}={ip}")))
    }
}

impl<'de> Deserialize<'de> for ExtraHosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hosts;
        impl<'de> Visitor<'de> for Hosts {
            type Value = ExtraHosts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of host=address, or a mapping from host to address")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ExtraHosts, A::Error> {
                let mut hosts = ExtraHosts::default();
                while let Some(entry) = seq.next_element::<String>()? {
                    let (host, ip) = split_host(&entry)
                        .ok_or_else(|| de::Error::custom(format_args!("\"{entry}\" is not host=address")))?;
                    hosts.0.entry(host.to_owned()).or_default().push(ip.to_owned());
                }
                Ok(hosts)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ExtraHosts, A::Error> {
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Addresses {
                    One(String),
                    Many(Vec<String>),
                }
                let mut hosts = ExtraHosts::default();
                while let Some((host, addresses)) = map.next_entry::<String, Addresses>()? {
                    let addresses = match addresses {
                        Addresses::One(ip) => vec![ip],
                        Addresses::Many(ips) => ips,
                    };
                    hosts.0.insert(host, addresses);
                }
                Ok(hosts)
            }
        }
        deserializer.deserialize_any(Hosts)
    }
}
