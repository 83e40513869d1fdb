//! `hoist network connect`

use super::{hint, path};
use crate::cli::{Context, Exit, Outcome, args::network::ConnectArgs, commands::container::hints, spec};

/// Connects a container to a network.
pub async fn run(cx: &Context, args: ConnectArgs) -> Outcome {
    let body = serde_json::json!({ "Container": args.container, "EndpointConfig": spec::endpoint(&args)? });
    match cx.client.post(format!("{}/connect", path(&args.network))).json(&body)?.done().await {
        Ok(()) => Ok(Exit::OK),
        Err(err) => {
            let failure = hint(cx, err.into(), &args.network).await;
            Err(hints::containers(cx, failure, &args.container).await)
        }
    }
}
