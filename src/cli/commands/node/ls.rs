//! `hoist node ls`

use serde_json::Value;

use crate::cli::{
    Context, Exit, Outcome,
    args::node::LsArgs,
    client::filters,
    format::{List, Row},
};

const LIST: List<'_> = List {
    headings: &[
        ("ID", "ID"),
        ("Hostname", "HOSTNAME"),
        ("Status", "STATUS"),
        ("Availability", "AVAILABILITY"),
        ("ManagerStatus", "MANAGER STATUS"),
        ("EngineVersion", "ENGINE VERSION"),
        ("TLSStatus", "TLS STATUS"),
    ],
    columns: "{{.ID}} {{if .Self}}*{{else}} {{end}}\t{{.Hostname}}\t{{.Status}}\t{{.Availability}}\t{{.ManagerStatus}}\t{{.EngineVersion}}",
    quiet: "{{.ID}}",
    may_cut: &["Hostname"],
};

/// Lists nodes.
pub async fn run(cx: &Context, args: LsArgs) -> Outcome {
    let mut nodes: Vec<Value> = cx.client.get("/nodes").query_opt("filters", filters(&args.filters)?).read().await?;
    let info: Value = cx.client.get("/info").read().await?;
    let swarm = &info["Swarm"];
    nodes.sort_by(|a, b| text(&a["Description"]["Hostname"]).cmp(&text(&b["Description"]["Hostname"])));
    let rows = nodes.iter().map(|node| row(node, swarm)).collect();
    LIST.print(cx.printer, args.format.format.as_deref(), args.quiet, false, rows)?;
    Ok(Exit::OK)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A word with a capital.
fn capital(value: &Value) -> String {
    let word = text(value);
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn row(node: &Value, swarm: &Value) -> Row {
    let status = &node["ManagerStatus"];
    let manager = match status {
        Value::Null => String::new(),
        status if status["Leader"] == true => "Leader".to_owned(),
        status => capital(&status["Reachability"]),
    };
    let root = &swarm["Cluster"]["TLSInfo"]["TrustRoot"];
    let tls = match (&node["Description"]["TLSInfo"]["TrustRoot"], root) {
        (Value::Null, _) | (_, Value::Null) => "Unknown",
        (own, root) if own == root => "Ready",
        _ => "Needs Rotation",
    };
    Row::new()
        .set("Availability", capital(&node["Spec"]["Availability"]))
        .set("EngineVersion", text(&node["Description"]["Engine"]["EngineVersion"]))
        .set("Hostname", text(&node["Description"]["Hostname"]))
        .set("ID", text(&node["ID"]))
        .set("ManagerStatus", manager)
        .set("Self", node["ID"] == swarm["NodeID"])
        .set("Status", capital(&node["Status"]["State"]))
        .set("TLSStatus", tls)
}
