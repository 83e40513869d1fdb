//! Commands on volumes.

pub mod create;
pub mod inspect;
pub mod ls;
pub mod prune;
pub mod rm;

use serde::Deserialize;

use crate::cli::{Context, client::path_segment, failure::Failure, suggest};

/// `/volumes/NAME`
pub fn path(name: &str) -> String {
    format!("/volumes/{}", path_segment(name))
}

/// The answer of `GET /volumes`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Listed {
    pub volumes: Option<Vec<Volume>>,
    pub warnings: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Volume {
    pub name: String,
    pub driver: String,
    pub mountpoint: String,
    pub scope: String,
    pub created_at: String,
    pub labels: Option<std::collections::BTreeMap<String, String>>,
    pub usage_data: Option<Usage>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Usage {
    pub size: i64,
    pub ref_count: i64,
}

/// Adds near names to a failure that says there is no such volume.
pub async fn hint(cx: &Context, failure: Failure, name: &str) -> Failure {
    if !failure.is_not_found() {
        return failure;
    }
    let Ok(listed) = cx.client.get("/volumes").read::<Listed>().await else { return failure };
    let names = listed.volumes.unwrap_or_default();
    match suggest::did_you_mean(&suggest::nearest(name, names.iter().map(|volume| volume.name.as_str()))) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
