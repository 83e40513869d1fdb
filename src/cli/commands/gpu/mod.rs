//! GPUs of all nodes: what they do, who holds them, and what is wrong with them.

mod ls;
mod top;

use serde_json::{Value, json};

use super::device::{Listed, names, split, text};
use crate::cli::{
    Context, Outcome,
    args::gpu::{GpuCommand, Which},
    commands::{each::each, node},
    failure::Failure,
};

pub async fn run(cx: &Context, command: GpuCommand) -> Outcome {
    match command {
        GpuCommand::Ls(args) => ls::run(cx, args).await,
        GpuCommand::Top(args) => top::run(cx, args).await,
        GpuCommand::Drain(args) => {
            let body = json!({ "Reason": args.reason.unwrap_or_default() });
            change(cx, "aside", args.node.as_deref(), &args.devices, &body).await
        }
        GpuCommand::Return(args) => change(cx, "return", args.node.as_deref(), &args.devices, &json!({})).await,
    }
}

async fn change(cx: &Context, verb: &str, node: Option<&str>, devices: &[String], body: &Value) -> Outcome {
    each(cx, devices, |device| async move {
        let (kind, name) = split(device)?;
        let mut body = body.clone();
        (body["Kind"], body["Name"]) = (kind.into(), name.into());
        let request = cx.client.post(format!("/hoist/v1/devices/{verb}")).query("node", node.unwrap_or_default());
        request.json(&body)?.done().await?;
        Ok(device.to_owned())
    })
    .await
}

/// The devices of all nodes; of this one alone where it is no manager.
async fn list(cx: &Context, which: &Which) -> Result<Vec<Value>, Failure> {
    // A name that no node has is a mistake, and not a node without GPUs.
    let node = match &which.node {
        Some(name) => Some(cx.client.get(node::path(name)).read::<Value>().await?["ID"].clone()),
        None => None,
    };
    let asked = cx.client.get("/hoist/v1/devices").query("nodes", "all").read::<Listed>().await;
    let listed = match asked {
        Ok(listed) => listed,
        Err(error) => {
            let listed: Listed = cx.client.get("/hoist/v1/devices").read().await?;
            cx.printer.warn(format!("only this node's: {error}"));
            listed
        }
    };
    for warning in &listed.warnings {
        cx.printer.warn(warning);
    }
    let is_gpu = |device: &Value| device["Capabilities"].as_array().into_iter().flatten().any(|one| one == "gpu");
    let wanted =
        |device: &Value| (which.all || is_gpu(device)) && node.as_ref().is_none_or(|node| device["NodeID"] == *node);
    Ok(listed.devices.into_iter().filter(wanted).collect())
}

/// `nvidia.com/gpu=0`
fn name(device: &Value) -> String {
    format!("{}={}", text(device, "Kind"), names(device).first().copied().unwrap_or_default())
}
