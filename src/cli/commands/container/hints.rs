//! What may have been meant when there is no such container or image.

use serde::Deserialize;

use crate::cli::{Context, failure::Failure, suggest};

/// Adds near names of containers to a failure that says there is none.
pub async fn containers(cx: &Context, failure: Failure, name: &str) -> Failure {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Line {
        names: Vec<String>,
    }
    if !failure.is_not_found() || !failure.hints.is_empty() {
        return failure;
    }
    let Ok(lines) = cx.client.get("/containers/json").flag("all", true).read::<Vec<Line>>().await else {
        return failure;
    };
    let names: Vec<&str> = lines.iter().flat_map(|line| &line.names).map(|name| name.trim_start_matches('/')).collect();
    match suggest::did_you_mean(&suggest::nearest(name, names)) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Adds near names of images to a failure that says there is none, or that it cannot be fetched.
pub async fn images(cx: &Context, failure: Failure, name: &str) -> Failure {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Line {
        #[serde(default)]
        repo_tags: Option<Vec<String>>,
    }
    let absent = failure.is_not_found() || failure.message.contains("registry");
    if !absent || !failure.hints.is_empty() {
        return failure;
    }
    let Ok(lines) = cx.client.get("/images/json").read::<Vec<Line>>().await else { return failure };
    let tags: Vec<String> = lines.into_iter().filter_map(|line| line.repo_tags).flatten().collect();
    // A name without a tag is compared without tags.
    let known: Vec<&str> = tags
        .iter()
        .map(|tag| {
            if name.rsplit('/').next().is_some_and(|last| last.contains(':')) {
                tag
            } else {
                tag.rsplit_once(':').map_or(tag.as_str(), |(name, _)| name)
            }
        })
        .collect();
    match suggest::did_you_mean(&suggest::nearest(name, known)) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
