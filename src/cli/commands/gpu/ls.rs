//! `hoist gpu ls`

use hoist_proto::unit;
use serde_json::Value;

use super::{list, name, text};
use crate::cli::{
    Context, Exit, Outcome,
    args::gpu::LsArgs,
    format::{List, Row},
};

/// What templates see of a device.
pub(super) const HEADINGS: &[(&str, &str)] = &[
    ("Node", "NODE"),
    ("Device", "DEVICE"),
    ("ID", "ID"),
    ("Kind", "KIND"),
    ("Model", "MODEL"),
    ("State", "STATE"),
    ("Utilisation", "USED"),
    ("Memory", "MEMORY"),
    ("Power", "POWER"),
    ("Temperature", "TEMP"),
    ("Clock", "CLOCK"),
    ("Holders", "HELD BY"),
    ("Processes", "PROCESSES"),
];

const LIST: List<'_> = List {
    headings: HEADINGS,
    columns: "{{.Node}}\t{{.Device}}\t{{.Model}}\t{{.Utilisation}}\t{{.Memory}}\t{{.State}}\t{{.Holders}}",
    quiet: "{{.Device}}",
    may_cut: &["Model", "Holders", "State"],
};

/// Lists GPUs.
pub async fn run(cx: &Context, args: LsArgs) -> Outcome {
    let rows = list(cx, &args.which).await?.iter().map(row).collect();
    LIST.print(cx.printer, args.format.format.as_deref(), args.quiet, false, rows)?;
    Ok(Exit::OK)
}

/// A device as templates see it.
pub(super) fn row(device: &Value) -> Row {
    let holders: Vec<String> =
        device["Holders"].as_array().into_iter().flatten().map(|one| holder(device, one)).collect();
    let state = match device["SetAside"].as_str() {
        Some(reason) if device["Faulty"] == true => format!("faulty: {reason}"),
        Some(reason) => format!("set aside: {reason}"),
        None if device["Open"] == true => "open".to_owned(),
        None if holders.is_empty() => "free".to_owned(),
        None => "held".to_owned(),
    };
    let figures = &device["Figures"];
    let number = |field: &str| figures[field].as_f64();
    let total = figures["MemoryTotal"].as_u64().or(device["Memory"].as_u64());
    let memory = match (figures["MemoryUsed"].as_u64(), total) {
        (Some(used), Some(total)) => {
            format!("{} / {}", unit::format_bytes_binary(used), unit::format_bytes_binary(total))
        }
        (None, Some(bytes)) | (Some(bytes), None) => unit::format_bytes_binary(bytes),
        (None, None) => String::new(),
    };
    let shown = |field: &str, of: &dyn Fn(f64) -> String| number(field).map(of).unwrap_or_default();
    let processes = device["Processes"].as_array().into_iter().flatten().map(process).collect::<Vec<_>>();
    Row::new()
        .set("Node", text(device, "Node"))
        .set("Device", name(device))
        .set("ID", text(device, "Name"))
        .set("Kind", text(device, "Kind"))
        .set("Model", text(device, "Model"))
        .set("State", state)
        .set("Utilisation", shown("Utilisation", &|percent| format!("{percent}%")))
        .set("Memory", memory)
        .set("Power", shown("PowerMilliwatts", &|milli| format!("{:.0}W", milli / 1000.0)))
        .set("Temperature", shown("Temperature", &|degrees| format!("{degrees}C")))
        .set("Clock", shown("Clock", &|mega| format!("{mega}MHz")))
        .set("Holders", holders.join(", "))
        .set("Processes", processes.join(", "))
}

/// `job 12 of ann`, `job 12 of ann (1/2)`, or the container's name.
fn holder(device: &Value, one: &Value) -> String {
    let mut words = match one["Job"].as_str() {
        Some(job) => format!("job {job}"),
        None => text(one, "Name").to_owned(),
    };
    if let Some(user) = one["User"].as_str() {
        words.push_str(&format!(" of {user}"));
    }
    if let Some(parts) = one["Parts"].as_u64() {
        words.push_str(&format!(" ({parts}/{})", device["Shares"]));
    }
    words
}

/// `python(4711) 3GiB`
fn process(one: &Value) -> String {
    let memory = one["Memory"].as_u64().map(|bytes| format!(" {}", unit::format_bytes_binary(bytes)));
    format!("{}({}){}", text(one, "Command"), one["PID"], memory.unwrap_or_default())
}
