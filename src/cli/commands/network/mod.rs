//! Commands on networks.

pub mod connect;
pub mod create;
pub mod disconnect;
pub mod inspect;
pub mod ls;
pub mod prune;
pub mod rm;

use serde::Deserialize;

use crate::cli::{Context, client::path_segment, failure::Failure, suggest};

/// `/networks/NAME`
pub fn path(name: &str) -> String {
    format!("/networks/{}", path_segment(name))
}

/// Adds near names to a failure that says there is no such network.
pub async fn hint(cx: &Context, failure: Failure, name: &str) -> Failure {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Line {
        name: String,
    }
    if !failure.is_not_found() || !failure.message.to_lowercase().contains("network") {
        return failure;
    }
    let Ok(lines) = cx.client.get("/networks").read::<Vec<Line>>().await else { return failure };
    match suggest::did_you_mean(&suggest::nearest(name, lines.iter().map(|line| line.name.as_str()))) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
