//! `hoist image prune`

use hoist_proto::unit;
use serde::Deserialize;

use super::rm::Removed;
use crate::cli::{
    Context, Exit, Outcome, args::image::PruneArgs, client::filters, commands::prompt::confirm, failure::Failure,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Pruned {
    images_deleted: Option<Vec<Removed>>,
    space_reclaimed: u64,
}

/// Removes images that nothing uses.
pub async fn run(cx: &Context, args: PruneArgs) -> Outcome {
    let question = if args.all {
        "This will remove all images that no container uses."
    } else {
        "This will remove all images without a name."
    };
    if !args.force && !confirm(cx, question)? {
        return Ok(Exit::OK);
    }
    let (text, space) = prune(cx, args.all, &args.filters).await?;
    cx.printer.text(format!("{text}Total reclaimed space: {}\n", unit::format_bytes(space)))?;
    Ok(Exit::OK)
}

/// Does it; returns what to print and the space that is free now.
pub async fn prune(cx: &Context, all: bool, filter: &[String]) -> Result<(String, u64), Failure> {
    let mut filter = filter.to_vec();
    filter.push(format!("dangling={}", !all));
    let pruned: Pruned = cx.client.post("/images/prune").query_opt("filters", filters(&filter)?).read().await?;
    let deleted: Vec<String> = pruned.images_deleted.unwrap_or_default().iter().map(Removed::line).collect();
    let text = if deleted.is_empty() {
        String::new()
    } else {
        format!("Deleted Images:\n{}\n\n", deleted.join("\n").to_lowercase())
    };
    Ok((text, pruned.space_reclaimed))
}
