//! `hoist swarm leave`

use crate::cli::{Context, Exit, Outcome, args::swarm::LeaveArgs};

/// Takes this machine out of its cluster.
pub async fn run(cx: &Context, args: LeaveArgs) -> Outcome {
    cx.client.post("/swarm/leave").flag("force", args.force).done().await?;
    cx.printer.line("Node left the swarm.")?;
    Ok(Exit::OK)
}
