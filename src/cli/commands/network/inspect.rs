//! `hoist network inspect`

use super::{hint, path};
use crate::cli::{
    Context, Outcome,
    args::network::InspectArgs,
    commands::each::{gather, inspected},
};

/// Shows all that is known of networks.
pub async fn run(cx: &Context, args: InspectArgs) -> Outcome {
    let verbose = args.verbose;
    let (found, failures) = gather(cx, &args.networks, |name| async move {
        match cx.client.get(path(name)).flag("verbose", verbose).read().await {
            Ok(value) => Ok(value),
            Err(err) => Err(hint(cx, err.into(), name).await),
        }
    })
    .await;
    inspected(cx, args.format.as_deref(), found, &failures)
}
