//! `hoist container prune`

use serde::Deserialize;

use hoist_proto::unit;

use crate::cli::{
    Context, Exit, Outcome, args::container::PruneArgs, client::filters, commands::prompt::confirm, failure::Failure,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Pruned {
    containers_deleted: Option<Vec<String>>,
    space_reclaimed: u64,
}

/// Removes all stopped containers.
pub async fn run(cx: &Context, args: PruneArgs) -> Outcome {
    if !args.force && !confirm(cx, "This will remove all stopped containers.")? {
        return Ok(Exit::OK);
    }
    let (text, space) = prune(cx, &args.filters).await?;
    cx.printer.text(format!("{text}Total reclaimed space: {}\n", unit::format_bytes(space)))?;
    Ok(Exit::OK)
}

/// Does it; returns what to print and the space that is free now.
pub async fn prune(cx: &Context, filter: &[String]) -> Result<(String, u64), Failure> {
    let pruned: Pruned = cx.client.post("/containers/prune").query_opt("filters", filters(filter)?).read().await?;
    let deleted = pruned.containers_deleted.unwrap_or_default();
    let mut text = String::new();
    if !deleted.is_empty() {
        text = format!("Deleted Containers:\n{}\n\n", deleted.join("\n"));
    }
    Ok((text, pruned.space_reclaimed))
}
