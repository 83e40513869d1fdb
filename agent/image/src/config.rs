//! An image's configuration: OCI's config.md, with the fields that Docker adds.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::platform::Platform;

/// The configuration blob of an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// The processor it is for, in Go's names.
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    /// The processor's variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system.
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    /// Windows only.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// How to run it.
    #[serde(default, deserialize_with = "or_default")]
    pub config: ContainerConfig,
    /// The layers, oldest first, as digests of their uncompressed archives.
    #[serde(default, deserialize_with = "or_default")]
    pub rootfs: RootFs,
    /// How each layer came to be, oldest first.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// Whatever else the blob holds (`docker_version`, `container_config`, …).
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a container of the image starts with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    /// User, and group after a colon, by name or number.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports such as `80/tcp` that the program listens on.
    #[serde(deserialize_with = "keys", serialize_with = "as_object", skip_serializing_if = "Vec::is_empty")]
    pub exposed_ports: Vec<String>,
    /// `NAME=value` lines.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program; the arguments of [`ContainerConfig::cmd`] follow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The default command, or the default arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Paths that want a volume.
    #[serde(deserialize_with = "keys", serialize_with = "as_object", skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Where the program starts; `/` when empty.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the program to end, by name or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL (Docker's).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// How to find out whether it works (Docker's).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Instructions for images that are built on this one (Docker's).
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// The shell of the shell forms of `RUN`, `CMD` and `ENTRYPOINT` (Docker's).
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// Windows only (Docker's).
    #[serde(deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// Whatever else is there (`Hostname`, `Tty`, …).
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A health check; durations in nanoseconds, 0 for "the default".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]`, `["CMD-SHELL", text]`, or empty to inherit.
    #[serde(deserialize_with = "or_default")]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// After which a check counts as failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// During which failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between two checks during the start period.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Digests of the uncompressed layer archives, oldest first.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> RootFs {
        RootFs { kind: "layers".into(), diff_ids: Vec::new() }
    }
}

/// One step of an image's making.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which command.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// By whom.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// What was said about it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether the step made no layer.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// The platform that the configuration names.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: None,
        }
        .normalised()
    }

    /// When the image was made, if it says so in a form that can be read.
    pub fn created_at(&self) -> Option<jiff::Timestamp> {
        self.created.as_deref()?.parse().ok()
    }
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// Docker writes `null` for what is empty.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Sets are written as objects with empty values.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let map = Option::<Map<String, Value>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(map.into_iter().map(|(key, _)| key).collect())
}

fn as_object<S: serde::Serializer>(keys: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(keys.iter().map(|key| (key, Map::new())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_writes_and_keeps_it() {
        let text = r#"{"architecture":"amd64","os":"linux","docker_version":"20.10","created":"2024-01-02T03:04:05.678Z",
            "config":{"Hostname":"","User":"","Env":["PATH=/bin"],"Cmd":["sh"],"Image":"","Volumes":null,"Entrypoint":null,
            "OnBuild":null,"Labels":null,"ExposedPorts":{"80/tcp":{},"443/tcp":{}},"Healthcheck":{"Test":["CMD","true"],"Interval":5000000000}},
            "rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"x","empty_layer":true}]}"#;
        let config: ImageConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.config.exposed_ports, ["80/tcp", "443/tcp"]);
        assert_eq!(config.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
        assert_eq!(config.config.entrypoint, None);
        assert!(config.created_at().is_some());
        let again: ImageConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        assert_eq!(again.extra["docker_version"], "20.10");
    }
}
