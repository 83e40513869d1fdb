//! `hoist volume inspect`

use super::{hint, path};
use crate::cli::{
    Context, Outcome,
    args::volume::InspectArgs,
    commands::each::{gather, inspected},
};

/// Shows all that is known of volumes.
pub async fn run(cx: &Context, args: InspectArgs) -> Outcome {
    let (found, failures) = gather(cx, &args.volumes, |name| async move {
        match cx.client.get(path(name)).read().await {
            Ok(value) => Ok(value),
            Err(err) => Err(hint(cx, err.into(), name).await),
        }
    })
    .await;
    inspected(cx, args.format.as_deref(), found, &failures)
}
