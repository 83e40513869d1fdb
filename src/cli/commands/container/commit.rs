//! `hoist commit`

use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome,
    args::container::CommitArgs,
    commands::{container::hints, image::name},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Committed {
    id: String,
}

/// Makes an image of a container's changes and prints its id.
pub async fn run(cx: &Context, args: CommitArgs) -> Outcome {
    let (repository, tag) = args.image.as_deref().map(name::checked).transpose()?.unwrap_or_default();
    let mut request = cx
        .client
        .post("/commit")
        .query("container", &args.container)
        .query("repo", repository)
        .query("tag", tag)
        .query("comment", args.message.as_deref().unwrap_or_default())
        .query("author", args.author.as_deref().unwrap_or_default())
        .query("pause", if args.pause && !args.no_pause { "1" } else { "0" });
    for change in &args.changes {
        request = request.query("changes", change);
    }
    // The container's own configuration is what the changes are applied to.
    match request.json(&serde_json::json!({}))?.read::<Committed>().await {
        Ok(committed) => cx.printer.line(committed.id)?,
        Err(err) => return Err(hints::containers(cx, err.into(), &args.container).await),
    }
    Ok(Exit::OK)
}
