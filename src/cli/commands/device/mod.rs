//! Commands on devices.

pub mod aside;
pub mod cdi;
pub mod inspect;
pub mod ls;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::{Context, failure::Failure};

/// The answer of `GET /hoist/v1/devices`; each device as JSON, of which every command reads what it shows.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Listed {
    pub devices: Vec<Value>,
    pub warnings: Vec<String>,
}

pub async fn list(cx: &Context) -> Result<Listed, Failure> {
    Ok(cx.client.get("/hoist/v1/devices").read().await?)
}

/// The text of a field.
pub fn text<'a>(device: &'a Value, field: &str) -> &'a str {
    device[field].as_str().unwrap_or_default()
}

/// All names of a device, the shortest first.
pub fn names(device: &Value) -> Vec<&str> {
    let aliases = device["Aliases"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut names: Vec<&str> = std::iter::once(text(device, "Name")).chain(aliases).collect();
    names.sort_by_key(|name| name.len());
    names
}

/// `KIND=NAME`, for words that a person typed.
pub fn split(text: &str) -> Result<(&str, &str), Failure> {
    text.split_once('=')
        .filter(|(kind, name)| !kind.is_empty() && !name.is_empty())
        .ok_or_else(|| Failure::usage(format!("{text:?} is not of the form KIND=NAME, such as nvidia.com/gpu=0")))
}
