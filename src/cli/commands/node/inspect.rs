//! `hoist node inspect`

use std::fmt::Write;

use hoist_proto::unit;
use serde_json::Value;

use super::path;
use crate::cli::{
    Context, Outcome,
    args::node::InspectArgs,
    commands::each::{gather, inspected},
    failure::Failure,
};

/// Shows all that is known of nodes.
pub async fn run(cx: &Context, args: InspectArgs) -> Outcome {
    if args.pretty && args.format.is_some() {
        return Err(Failure::new("--format is incompatible with human friendly format"));
    }
    let (found, failures) =
        gather(cx, &args.nodes, |name| async move { Ok(cx.client.get(path(name)).read().await?) }).await;
    if args.pretty {
        cx.printer.text(found.iter().map(pretty).collect::<Vec<_>>().join("\n"))?;
        return inspected(cx, Some(""), Vec::new(), &failures);
    }
    inspected(cx, args.format.as_deref(), found, &failures)
}

fn pretty(node: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut out = String::new();
    let mut line = |indent: usize, name: &str, value: String| {
        let _ = writeln!(out, "{}{:<width$}{value}", " ".repeat(indent), format!("{name}:"), width = 23 - indent);
    };
    line(0, "ID", text(&node["ID"]));
    if let Some(labels) = node["Spec"]["Labels"].as_object().filter(|labels| !labels.is_empty()) {
        line(0, "Labels", String::new());
        for (key, value) in labels {
            line(1, "-", format!("{key}={}", text(value)));
        }
    }
    line(0, "Hostname", text(&node["Description"]["Hostname"]));
    line(0, "Joined at", text(&node["CreatedAt"]));
    line(0, "Status", String::new());
    line(1, "State", text(&node["Status"]["State"]));
    if !node["Status"]["Message"].is_null() {
        line(1, "Message", text(&node["Status"]["Message"]));
    }
    line(1, "Availability", text(&node["Spec"]["Availability"]));
    line(1, "Address", text(&node["Status"]["Addr"]));
    let manager = &node["ManagerStatus"];
    if !manager.is_null() {
        line(0, "Manager Status", String::new());
        line(1, "Address", text(&manager["Addr"]));
        line(1, "Raft Status", text(&manager["Reachability"]));
        line(1, "Leader", if manager["Leader"] == true { "Yes" } else { "No" }.to_owned());
    }
    let description = &node["Description"];
    line(0, "Platform", String::new());
    line(1, "Operating System", text(&description["Platform"]["OS"]));
    line(1, "Architecture", text(&description["Platform"]["Architecture"]));
    line(0, "Resources", String::new());
    let cpus = description["Resources"]["NanoCPUs"].as_u64().unwrap_or_default() / 1_000_000_000;
    line(1, "CPUs", cpus.to_string());
    let memory = description["Resources"]["MemoryBytes"].as_u64().unwrap_or_default();
    line(1, "Memory", unit::format_bytes_binary(memory));
    line(0, "Engine Version", text(&description["Engine"]["EngineVersion"]));
    out
}
