//! `hoist volume create`

use serde_json::json;

use super::Volume;
use crate::cli::{Context, Exit, Outcome, args::volume::CreateArgs, spec::key_values};

/// Creates a volume and prints its name.
pub async fn run(cx: &Context, args: CreateArgs) -> Outcome {
    let body = json!({
        "Name": args.name.unwrap_or_default(),
        "Driver": args.driver,
        "DriverOpts": key_values("opt", &args.opts, '=')?,
        "Labels": key_values("label", &args.labels, '=')?,
    });
    let created: Volume = cx.client.post("/volumes/create").json(&body)?.read().await?;
    cx.printer.line(created.name)?;
    Ok(Exit::OK)
}
