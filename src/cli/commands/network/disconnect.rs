//! `hoist network disconnect`

use super::{hint, path};
use crate::cli::{Context, Exit, Outcome, args::network::DisconnectArgs};

/// Disconnects a container from a network.
pub async fn run(cx: &Context, args: DisconnectArgs) -> Outcome {
    let body = serde_json::json!({ "Container": args.container, "Force": args.force });
    match cx.client.post(format!("{}/disconnect", path(&args.network))).json(&body)?.done().await {
        Ok(()) => Ok(Exit::OK),
        Err(err) => Err(hint(cx, err.into(), &args.network).await),
    }
}
