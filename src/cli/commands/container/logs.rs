//! `hoist logs`

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome,
    args::container::LogsArgs,
    client::ClientError,
    commands::container::{hints, path},
    failure::Failure,
    format::time,
    stream::Wire,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    config: Config,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    tty: bool,
}

/// Shows what a container wrote.
pub async fn run(cx: &Context, args: LogsArgs) -> Outcome {
    if args.tail != "all" && args.tail.parse::<i64>().is_err() {
        return Err(Failure::new(format!("invalid value {:?} for --tail: expected a number or all", args.tail)));
    }
    let since = args.since.as_deref().map(|text| time::parse("since", text)).transpose()?;
    let until = args.until.as_deref().map(|text| time::parse("until", text)).transpose()?;
    let container: Container = match cx.client.get(path(&args.container, "json")).read().await {
        Ok(container) => container,
        Err(err) => return Err(hints::containers(cx, err.into(), &args.container).await),
    };
    let tail = if args.tail.starts_with('-') { "all" } else { &args.tail };
    let response = cx
        .client
        .get(path(&args.container, "logs"))
        .flag("stdout", true)
        .flag("stderr", true)
        .flag("follow", args.follow)
        .flag("timestamps", args.timestamps)
        .flag("details", args.details)
        .query("tail", tail)
        .query_opt("since", since)
        .query_opt("until", until)
        .send()
        .await?;
    let wire = Wire::Container { id: String::new(), multiplexed: !container.config.tty };
    let mut body = response.into_body();
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data: Bytes = frame.map_err(ClientError::Broken)?.into_data().unwrap_or_default();
        buffer.extend_from_slice(&data);
        wire.pass_on(&mut buffer, cx.printer)?;
    }
    Ok(Exit::OK)
}
