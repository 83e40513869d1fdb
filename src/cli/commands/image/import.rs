//! `hoist import`

use super::name;
use crate::cli::{
    Context, Exit, Outcome,
    args::image::ImportArgs,
    client::{file_body, reader_body},
    failure::Failure,
    progress::Message,
};

/// Makes an image of a file system in a tar archive; prints its id.
pub async fn run(cx: &Context, args: ImportArgs) -> Outcome {
    let (repository, tag) = args.image.as_deref().map(name::checked).transpose()?.unwrap_or_default();
    let remote = args.source.starts_with("http://") || args.source.starts_with("https://");
    let mut request = cx
        .client
        .post("/images/create")
        .query("fromSrc", if remote { args.source.as_str() } else { "-" })
        .query("repo", repository)
        .query("tag", tag)
        .query_opt("message", args.message.as_deref())
        .query_opt("platform", args.platform.as_deref());
    for change in &args.changes {
        request = request.query("changes", change);
    }
    if args.source == "-" {
        request = request.stream(reader_body(tokio::io::stdin()), "application/x-tar");
    } else if !remote {
        request = request.stream(file_body(fs_err::tokio::File::open(&args.source).await?), "application/x-tar");
    }
    let mut lines = request.lines().await?;
    let mut id = None;
    while let Some(message) = lines.next::<Message>().await? {
        if let Some(error) = message.error_detail.map(|detail| detail.message).or(message.error) {
            return Err(Failure::new(error));
        }
        // The last status is the id.
        if let Some(status) = message.status
            && let Some(before) = id.replace(status)
        {
            cx.printer.say(before);
        }
    }
    if let Some(id) = id {
        cx.printer.line(id)?;
    }
    Ok(Exit::OK)
}
