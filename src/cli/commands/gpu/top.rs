//! `hoist gpu top`

use std::time::Duration;

use hoist_proto::unit;
use serde_json::Value;

use super::{list, ls, name, text};
use crate::cli::{
    Context, Exit, Outcome,
    args::gpu::TopArgs,
    format::{List, Row},
};

const LIST: List<'_> = List {
    headings: ls::HEADINGS,
    columns: "{{.Node}}\t{{.Device}}\t{{.Utilisation}}\t{{.Memory}}\t{{.Power}}\t{{.Temperature}}\t{{.Clock}}\t{{.State}}\t{{.Holders}}",
    quiet: "{{.Device}}",
    may_cut: &["Holders", "State"],
};

const PROCESSES: List<'_> = List {
    headings: &[
        ("Node", "NODE"),
        ("Device", "DEVICE"),
        ("PID", "PID"),
        ("User", "USER"),
        ("Container", "CONTAINER"),
        ("Memory", "MEMORY"),
        ("Command", "COMMAND"),
    ],
    columns: "{{.Node}}\t{{.Device}}\t{{.PID}}\t{{.User}}\t{{.Container}}\t{{.Memory}}\t{{.Command}}",
    quiet: "{{.PID}}",
    may_cut: &["Container"],
};

/// Time between two tables.
const PACE: Duration = Duration::from_secs(2);

/// Shows what devices do, and the processes that use them; once, or over and over.
pub async fn run(cx: &Context, args: TopArgs) -> Outcome {
    let format = args.format.format.as_deref();
    let live =
        !args.no_stream && cx.printer.out_is_terminal() && format.is_none_or(|format| format.starts_with("table"));
    loop {
        let devices = list(cx, &args.which).await?;
        let width = cx.printer.width();
        let mut page = LIST.render(format, false, width, devices.iter().map(ls::row).collect())?;
        let processes: Vec<Row> = devices.iter().flat_map(processes).collect();
        if format.is_none() && !processes.is_empty() {
            page.push('\n');
            page.push_str(&PROCESSES.render(None, false, width, processes)?);
        }
        // From the top of the screen, each line to its end, and nothing below.
        let page = if live { format!("\x1b[H{}\x1b[J", page.replace('\n', "\x1b[K\n")) } else { page };
        cx.printer.text(page)?;
        if args.no_stream {
            return Ok(Exit::OK);
        }
        tokio::time::sleep(PACE).await;
    }
}

fn processes(device: &Value) -> impl Iterator<Item = Row> {
    device["Processes"].as_array().into_iter().flatten().map(|one| {
        Row::new()
            .set("Node", text(device, "Node"))
            .set("Device", name(device))
            .set("PID", one["PID"].to_string())
            .set("User", text(one, "User"))
            .set("Container", text(one, "Container"))
            .set("Memory", one["Memory"].as_u64().map(unit::format_bytes_binary).unwrap_or_default())
            .set("Command", text(one, "Command"))
    })
}
