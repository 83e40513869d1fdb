//! `hoist service ps`

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::{get, ls, node_names};
use crate::{
    api::dto::{service as dto, task::Task},
    cli::{
        Context, Exit, Outcome,
        args::service::{PsArgs, TaskList},
        client,
        failure::Failure,
        format::{List, Row, time},
    },
};

const LIST: List<'_> = List {
    headings: &[
        ("ID", "ID"),
        ("Name", "NAME"),
        ("Image", "IMAGE"),
        ("Node", "NODE"),
        ("DesiredState", "DESIRED STATE"),
        ("CurrentState", "CURRENT STATE"),
        ("Error", "ERROR"),
        ("Ports", "PORTS"),
    ],
    columns: "{{.ID}}\t{{.Name}}\t{{.Image}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}\t{{.Ports}}",
    quiet: "{{.ID}}",
    may_cut: &["Image"],
};

/// Lists the tasks of services.
pub async fn run(cx: &Context, args: PsArgs) -> Outcome {
    let mut filter = own_filters(&args.list)?;
    let mut failures = Vec::new();
    for name in &args.services {
        match get(cx, name).await {
            Ok(service) => filter.entry("service".to_owned()).or_default().push(service.id),
            Err(failure) => failures.push(failure),
        }
    }
    if filter.contains_key("service") {
        show(cx, &filter, &args.list).await?;
    }
    for failure in &failures {
        cx.printer.failure(failure);
    }
    Ok(if failures.is_empty() { Exit::OK } else { Exit::FAILED })
}

/// What `--filter` says.
pub fn own_filters(list: &TaskList) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let filter = client::filters(&list.filters)?.unwrap_or_else(|| "{}".to_owned());
    Ok(serde_json::from_str(&filter)?)
}

/// Shows the tasks that match.
pub async fn show(cx: &Context, filter: &BTreeMap<String, Vec<String>>, list: &TaskList) -> Result<usize, Failure> {
    let mut tasks: Vec<Task> = cx.client.get("/tasks").query("filters", json!(filter).to_string()).read().await?;
    let services: Vec<dto::Service> = cx.client.get("/services").read().await?;
    let nodes = if list.no_resolve { BTreeMap::new() } else { node_names(cx).await };
    let service_name = |id: &str| match services.iter().find(|service| service.id == id) {
        Some(service) if !list.no_resolve => service.spec.name.clone(),
        _ => id.to_owned(),
    };
    let place = |task: &Task| match task.slot {
        0 => task.node_id.clone(),
        slot => slot.to_string(),
    };
    let name = |task: &Task| format!("{}.{}", service_name(&task.service_id), place(task));
    tasks.sort_by(|a, b| {
        (service_name(&a.service_id), a.slot, &a.node_id, &b.created_at).cmp(&(
            service_name(&b.service_id),
            b.slot,
            &b.node_id,
            &a.created_at,
        ))
    });
    let mut rows = Vec::new();
    let mut before = String::new();
    for task in &tasks {
        let name = name(task);
        let shown = if name == before && !list.quiet { format!(" \\_ {name}") } else { name.clone() };
        before = name;
        let node = nodes.get(&task.node_id).unwrap_or(&task.node_id).clone();
        rows.push(row(task, shown, node, list.no_trunc));
    }
    LIST.print(cx.printer, list.format.format.as_deref(), list.quiet, list.no_trunc, rows)?;
    Ok(tasks.len())
}

fn row(task: &Task, name: String, node: String, whole: bool) -> Row {
    let image = task.spec.container_spec.as_ref().map(|container| container.image.clone()).unwrap_or_default();
    let id = if whole { task.id.clone() } else { task.id.chars().take(12).collect() };
    let since = task.status.timestamp.parse::<Timestamp>().map_or(0, Timestamp::as_second);
    Row::new()
        .set("ID", id)
        .set("Name", name)
        .set("Image", if whole { image.clone() } else { ls::plain_image(&image).to_owned() })
        .set("Node", node)
        .set("DesiredState", capital(&task.desired_state))
        .set("CurrentState", format!("{} {}", capital(&task.status.state), time::ago(since).to_lowercase()))
        .set("Error", error(&task.status.err, whole))
        .set("Ports", ports(task))
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// In quotes, cut to what a table has room for.
fn error(text: &str, whole: bool) -> String {
    match text {
        "" => String::new(),
        text if whole || text.chars().count() <= 30 => format!("\"{text}\""),
        text => format!("\"{}…\"", text.chars().take(29).collect::<String>()),
    }
}

fn ports(task: &Task) -> String {
    let one = |port: &dto::PortConfig| format!("*:{}->{}/{}", port.published_port, port.target_port, port.protocol);
    task.status.port_status.ports.iter().map(one).collect::<Vec<_>>().join(",")
}
