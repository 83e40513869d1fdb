//! Commands on nodes.

pub mod inspect;
pub mod ls;
pub mod ps;
pub mod rm;
pub mod role;
pub mod update;

use std::time::Duration;

use serde_json::Value;

use crate::cli::{Context, client::path_segment, failure::Failure};

const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// `/nodes/NAME`
pub fn path(name: &str) -> String {
    format!("/nodes/{}", path_segment(name))
}

/// Reads a node, changes its spec, and sends it back for the version that was read.
pub async fn change(
    cx: &Context,
    name: &str,
    change: impl Fn(&mut Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // Nodes tell of themselves all the time, and each word of theirs is another version.
    for _ in 0..ATTEMPTS {
        let mut node: Value = cx.client.get(path(name)).read().await?;
        change(&mut node["Spec"])?;
        let version = node["Version"]["Index"].as_u64().unwrap_or_default();
        let id = node["ID"].as_str().unwrap_or_default();
        let request = cx.client.post(format!("{}/update", path(id))).query("version", version.to_string());
        match request.json(&node["Spec"])?.done().await {
            Err(err) if err.status() == Some(409) => tokio::time::sleep(PAUSE).await,
            other => return Ok(other?),
        }
    }
    Err(Failure::new(format!("node {name} changes all the time; try again")))
}
