//! `hoist network prune`

use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome, args::container::PruneArgs, client::filters, commands::prompt::confirm, failure::Failure,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Pruned {
    networks_deleted: Option<Vec<String>>,
}

/// Removes networks that no container uses.
pub async fn run(cx: &Context, args: PruneArgs) -> Outcome {
    if !args.force && !confirm(cx, "This will remove all networks that no container uses.")? {
        return Ok(Exit::OK);
    }
    let text = prune(cx, &args.filters).await?;
    cx.printer.text(text.trim_end().to_owned() + if text.is_empty() { "" } else { "\n" })?;
    Ok(Exit::OK)
}

/// Does it; returns what to print.
pub async fn prune(cx: &Context, filter: &[String]) -> Result<String, Failure> {
    let pruned: Pruned = cx.client.post("/networks/prune").query_opt("filters", filters(filter)?).read().await?;
    let deleted = pruned.networks_deleted.unwrap_or_default();
    Ok(if deleted.is_empty() { String::new() } else { format!("Deleted Networks:\n{}\n\n", deleted.join("\n")) })
}
