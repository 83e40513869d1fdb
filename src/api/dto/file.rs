//! Secrets and configs, which have the same shape.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::service::{Driver, Version};

/// `Secret`, `Config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct File {
    #[serde(rename = "ID")]
    pub id: String,
    pub version: Version,
    pub created_at: String,
    pub updated_at: String,
    pub spec: FileSpec,
}

/// `SecretSpec`, `ConfigSpec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct FileSpec {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Base64; of a secret it is never shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Of secrets only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templating: Option<Driver>,
}

/// The answer of `POST /secrets/create` and `POST /configs/create`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Created {
    #[serde(rename = "ID")]
    pub id: String,
}

/// The body of `POST /hoist/v1/secrets/{id}/rotate` and `POST /hoist/v1/configs/{id}/rotate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Rotate {
    /// Base64.
    pub data: String,
}

/// Its answer: the new record, and the services that are changed to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Rotated {
    #[serde(rename = "ID")]
    pub id: String,
    pub services: Vec<String>,
}
