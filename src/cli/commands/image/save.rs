//! `hoist save`

use super::platform_json;
use crate::cli::{
    Context, Outcome,
    args::image::SaveArgs,
    commands::container::{export, hints},
};

/// Writes images to a tar archive.
pub async fn run(cx: &Context, args: SaveArgs) -> Outcome {
    export::check(cx, args.output.as_deref())?;
    let mut request = cx.client.get("/images/get");
    for image in &args.images {
        request = request.query("names", image);
    }
    for platform in &args.platform {
        request = request.query("platform", platform_json(platform)?);
    }
    match request.send().await {
        Ok(response) => export::write(cx, response, args.output.as_deref()).await,
        Err(err) => Err(hints::images(cx, err.into(), &args.images[0]).await),
    }
}
