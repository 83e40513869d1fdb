//! `hoist tag`

use super::{name, path};
use crate::cli::{Context, Exit, Outcome, args::image::TagArgs, commands::container::hints};

/// Gives an image a further name.
pub async fn run(cx: &Context, args: TagArgs) -> Outcome {
    let (repository, tag) = name::split(&args.target);
    match cx.client.post(path(&args.source, "tag")).query("repo", repository).query("tag", tag).done().await {
        Ok(()) => Ok(Exit::OK),
        Err(err) => Err(hints::images(cx, err.into(), &args.source).await),
    }
}
