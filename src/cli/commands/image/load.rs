//! `hoist load`

use std::io::IsTerminal;

use super::platform_json;
use crate::cli::{
    Context, Exit, Outcome,
    args::image::LoadArgs,
    client::{file_body, reader_body},
    failure::Failure,
    progress::Message,
};

/// Reads images from a tar archive; prints their names.
pub async fn run(cx: &Context, args: LoadArgs) -> Outcome {
    let body = match &args.input {
        Some(path) => file_body(fs_err::tokio::File::open(path).await?),
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::new("there is no archive to read").hint("name a file with -i, or pipe one in"));
        }
        None => reader_body(tokio::io::stdin()),
    };
    let mut request = cx.client.post("/images/load").flag("quiet", args.quiet);
    for platform in &args.platform {
        request = request.query("platform", platform_json(platform)?);
    }
    let mut lines = request.stream(body, "application/x-tar").lines().await?;
    while let Some(message) = lines.next::<Message>().await? {
        if let Some(error) = message.error_detail.map(|detail| detail.message).or(message.error) {
            return Err(Failure::new(error));
        }
        // The names are what a script reads; all else is words.
        if let Some(text) = message.stream {
            cx.printer.text(text)?;
        } else if let (false, Some(status)) = (args.quiet, message.status) {
            cx.printer.say(status);
        }
    }
    Ok(Exit::OK)
}
