//! `hoist volume create`

use serde_json::json;

use super::Volume;
use crate::cli::{Context, Exit, Outcome, args::volume::CreateArgs, failure::Failure, spec::key_values};

/// Creates a volume and prints its name.
pub async fn run(cx: &Context, args: CreateArgs) -> Outcome {
    if args.name.is_some() && args.old_name.is_some() {
        return Err(Failure::new("a volume's name is given as --name or as the argument, not both"));
    }
    let body = json!({
        "Name": args.name.or(args.old_name).unwrap_or_default(),
        "Driver": args.driver,
        "DriverOpts": key_values("opt", &args.opts, '=')?,
        "Labels": key_values("label", &args.labels, '=')?,
    });
    let created: Volume = cx.client.post("/volumes/create").json(&body)?.read().await?;
    cx.printer.line(created.name)?;
    Ok(Exit::OK)
}
