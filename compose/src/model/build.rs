use serde::{Deserialize, Serialize};

use super::container::{ExtraHosts, Ulimit};
use super::{ByteSize, Extensions, FileMount, Map, is_default};

/// How to build an image (build.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// A directory, or a Git URL; the project's directory when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The Dockerfile, relative to the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// The Dockerfile's text; excludes `dockerfile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile_inline: Option<String>,
    /// Privileges allowed to the build: `network.host`, `security.insecure`, `device`, `device=NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entitlements: Vec<String>,
    /// Values for `ARG`; `None` is taken from the project's environment.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub args: Map<Option<String>>,
    /// A provenance attestation: `true`, `false` or `key=value,…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<String>,
    /// An SBOM attestation: `true`, `false` or `key=value,…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<String>,
    /// SSH agents or keys by id; an empty value is the default agent. Printed
    /// as a list of `id` and `id=path`.
    #[serde(default, with = "id_list", skip_serializing_if = "Map::is_empty")]
    pub ssh: Map<String>,
    /// Labels of the image.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String>,
    /// Where to look for cached steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_from: Vec<String>,
    /// Where to write cached steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_to: Vec<String>,
    /// Whether no cached step is used.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_cache: bool,
    /// Further contexts by name: paths, URLs, `docker-image://…`, `service:NAME`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub additional_contexts: Map<String>,
    /// Whether base images are pulled also when here.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pull: bool,
    /// Lines for `/etc/hosts` during the build.
    #[serde(default, skip_serializing_if = "ExtraHosts::is_empty")]
    pub extra_hosts: ExtraHosts,
    /// Isolation technology; platform specific.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// The network of `RUN`: `none`, `host`, `default` or a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The stage to build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Secrets that `RUN --mount=type=secret` may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<FileMount>,
    /// Size of `/dev/shm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<ByteSize>,
    /// Further tags of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Resource limits of `RUN`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub ulimits: Map<Ulimit>,
    /// Platforms to build for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Whether `RUN` has all privileges.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// `id` and `id=path` items as a mapping.
mod id_list {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Map;

    pub fn serialize<S: Serializer>(keys: &Map<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(keys.iter().map(|(id, path)| match path.as_str() {
            "" => id.clone(),
            path => format!("{id}={path}"),
        }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            List(Vec<String>),
            Mapping(Map<String>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Mapping(keys) => keys,
            Form::List(items) => items
                .iter()
                .map(|item| item.split_once('=').unwrap_or((item, "")))
                .map(|(id, path)| (id.to_owned(), path.to_owned()))
                .collect(),
        })
    }
}
