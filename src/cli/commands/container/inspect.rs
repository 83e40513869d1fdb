//! `hoist container inspect`

use crate::cli::{
    Context, Outcome,
    args::container::InspectArgs,
    commands::{
        container::{hints, path},
        each::{gather, inspected},
    },
};

/// Shows all that is known of containers.
pub async fn run(cx: &Context, args: InspectArgs) -> Outcome {
    let size = args.size;
    let (found, failures) = gather(cx, &args.containers, |name| async move {
        match cx.client.get(path(name, "json")).flag("size", size).read().await {
            Ok(value) => Ok(value),
            Err(err) => Err(hints::containers(cx, err.into(), name).await),
        }
    })
    .await;
    inspected(cx, args.format.as_deref(), found, &failures)
}
