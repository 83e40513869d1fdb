//! `hoist node rm`

use super::path;
use crate::cli::{Context, Outcome, args::node::RmArgs, commands::each::each};

/// Removes nodes from the cluster.
pub async fn run(cx: &Context, args: RmArgs) -> Outcome {
    let force = args.force;
    each(cx, &args.nodes, |name| async move {
        cx.client.delete(path(name)).flag("force", force).done().await?;
        Ok(name.to_owned())
    })
    .await
}
