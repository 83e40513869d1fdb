//! `hoist device ls`

use hoist_proto::unit;
use serde_json::Value;

use super::{list, names, text};
use crate::cli::{
    Context, Exit, Outcome,
    args::device::LsArgs,
    format::{List, Row},
};

const LIST: List<'_> = List {
    headings: &[
        ("Device", "DEVICE"),
        ("Model", "MODEL"),
        ("Memory", "MEMORY"),
        ("Holders", "HELD BY"),
        ("State", "STATE"),
        ("Source", "SOURCE"),
        ("ID", "ID"),
    ],
    columns: "{{.Device}}\t{{.Model}}\t{{.Memory}}\t{{.State}}\t{{.Holders}}",
    quiet: "{{.Device}}",
    may_cut: &["Model", "Holders"],
};

/// Lists devices.
pub async fn run(cx: &Context, args: LsArgs) -> Outcome {
    let listed = list(cx).await?;
    for warning in &listed.warnings {
        cx.printer.warn(warning);
    }
    let rows = listed.devices.iter().map(row).collect();
    LIST.print(cx.printer, args.format.format.as_deref(), args.quiet, false, rows)?;
    Ok(Exit::OK)
}

fn row(device: &Value) -> Row {
    let holders: Vec<String> =
        device["Holders"].as_array().into_iter().flatten().map(|holder| holder_of(device, holder)).collect();
    let state = match device["SetAside"].as_str() {
        Some(reason) => format!("set aside: {reason}"),
        None if device["Open"] == true => "open".to_owned(),
        None if holders.is_empty() => "free".to_owned(),
        None => "held".to_owned(),
    };
    Row::new()
        .set("Device", format!("{}={}", text(device, "Kind"), names(device).first().copied().unwrap_or_default()))
        .set("ID", text(device, "Name"))
        .set("Kind", text(device, "Kind"))
        .set("Model", text(device, "Model"))
        .set("Memory", device["Memory"].as_u64().map(unit::format_bytes_binary).unwrap_or_default())
        .set("Source", text(device, "Source"))
        .set("State", state)
        .set("Holders", holders.join(", "))
}

fn holder_of(device: &Value, holder: &Value) -> String {
    match holder["Parts"].as_u64() {
        Some(parts) => format!("{} ({parts}/{})", text(holder, "Name"), device["Shares"]),
        None => text(holder, "Name").to_owned(),
    }
}
