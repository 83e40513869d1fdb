//! `hoist image inspect`

use super::{path, platform_json};
use crate::cli::{
    Context, Outcome,
    args::image::InspectArgs,
    commands::{
        container::hints,
        each::{gather, inspected},
    },
};

/// Shows all that is known of images.
pub async fn run(cx: &Context, args: InspectArgs) -> Outcome {
    let platform = args.platform.as_deref().map(platform_json).transpose()?;
    let platform = &platform;
    let (found, failures) = gather(cx, &args.images, |name| async move {
        match cx.client.get(path(name, "json")).query_opt("platform", platform.as_ref()).read().await {
            Ok(value) => Ok(value),
            Err(err) => Err(hints::images(cx, err.into(), name).await),
        }
    })
    .await;
    inspected(cx, args.format.as_deref(), found, &failures)
}
