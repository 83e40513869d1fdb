//! Volumes, secrets, configs and models of a project.

use serde::{Deserialize, Serialize};

use super::{Extensions, Map, is_default};

/// A volume of the project (07-volumes.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// The volume's real name: `<project>_<key>` unless given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The driver; `local` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The driver's options.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub driver_opts: Map<String>,
    /// Whether it exists already and is not managed by the project.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: bool,
    /// Labels.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// A secret of the project (09-secrets.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Secret {
    /// The real name: `<project>_<key>` unless given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The file that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The variable that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The value of `environment`, filled in by the loader for whoever
    /// deploys the project. It is never part of what `config` prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Whether it exists already and is not managed by the project.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: bool,
    /// Labels.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String>,
    /// The driver that provides the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The driver's options.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub driver_opts: Map<String>,
    /// The driver that expands the value as a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_driver: Option<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// A config of the project (08-configs.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The real name: `<project>_<key>` unless given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The file that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The variable that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The value itself, or that of `environment` filled in by the loader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Whether it exists already and is not managed by the project.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: bool,
    /// Labels.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String>,
    /// The driver that expands the value as a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_driver: Option<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// An AI model of the project (models.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The real name: the key unless given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The OCI artifact that is the model.
    #[serde(default)]
    pub model: String,
    /// Tokens of context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_size: Option<i64>,
    /// Flags of the inference engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runtime_flags: Vec<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}
