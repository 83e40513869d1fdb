//! `hoist push`

use super::{name, path, platform_json};
use crate::cli::{
    Context, Exit, Outcome,
    args::image::PushArgs,
    credentials::{self, Credentials},
    progress::{Mode, Transfer},
    spec::SpecError,
};

/// Sends an image to its registry.
pub async fn run(cx: &Context, args: PushArgs) -> Outcome {
    let (repository, tag) = name::split(&args.image);
    if args.all_tags && !tag.is_empty() {
        return Err(SpecError::value("all-tags", &args.image, "the name must have no tag then").found_late());
    }
    let tag = if tag.is_empty() && !args.all_tags { "latest" } else { tag };
    // The API wants the header even when there is nothing to say.
    let auth = credentials::header_for(&cx.config_dir, &args.image)?.unwrap_or_else(|| Credentials::default().header());
    let mut request = cx.client.post(path(repository, "push")).header("x-registry-auth", auth);
    if !tag.is_empty() {
        request = request.query("tag", tag);
    }
    let lines = request.query_opt("platform", args.platform.as_deref().map(platform_json).transpose()?).lines().await?;
    let mode = if args.quiet { Mode::Quiet } else { args.progress };
    Transfer::new(cx.printer, mode, "Pushing").show(lines, |_| {}).await?;
    cx.printer.line(if tag.is_empty() { repository.to_owned() } else { format!("{repository}:{tag}") })?;
    Ok(Exit::OK)
}
