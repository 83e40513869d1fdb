//! `hoist device set-aside`, `hoist device return`

use serde_json::json;

use super::split;
use crate::cli::{
    Context, Outcome,
    args::device::{ReturnArgs, SetAsideArgs},
    commands::each::each,
};

/// Gives devices to nobody for a time.
pub async fn set_aside(cx: &Context, args: SetAsideArgs) -> Outcome {
    let reason = &args.reason;
    each(cx, &args.devices, |device| async move {
        let (kind, name) = split(device)?;
        let body = json!({ "Kind": kind, "Name": name, "Reason": reason });
        cx.client.post("/hoist/v1/devices/aside").json(&body)?.done().await?;
        Ok(device.to_owned())
    })
    .await
}

/// Gives them again.
pub async fn take_back(cx: &Context, args: ReturnArgs) -> Outcome {
    each(cx, &args.devices, |device| async move {
        let (kind, name) = split(device)?;
        cx.client.post("/hoist/v1/devices/return").json(&json!({ "Kind": kind, "Name": name }))?.done().await?;
        Ok(device.to_owned())
    })
    .await
}
