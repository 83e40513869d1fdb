//! `hoist volume prune`

use hoist_proto::unit;
use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome, args::volume::PruneArgs, client::filters, commands::prompt::confirm, failure::Failure,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Pruned {
    volumes_deleted: Option<Vec<String>>,
    space_reclaimed: u64,
}

/// Removes volumes that no container uses.
pub async fn run(cx: &Context, args: PruneArgs) -> Outcome {
    let question = if args.all {
        "This will remove all volumes that no container uses."
    } else {
        "This will remove all volumes without a name that no container uses."
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
    if all {
        filter.push("all=true".to_owned());
    }
    let pruned: Pruned = cx.client.post("/volumes/prune").query_opt("filters", filters(&filter)?).read().await?;
    let deleted = pruned.volumes_deleted.unwrap_or_default();
    let text = if deleted.is_empty() { String::new() } else { format!("Deleted Volumes:\n{}\n\n", deleted.join("\n")) };
    Ok((text, pruned.space_reclaimed))
}
