//! `hoist node ps`

use serde_json::{Value, json};

use crate::cli::{
    Context, Exit, Outcome,
    args::node::PsArgs,
    client::filters,
    format::{List, Row},
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
    may_cut: &["Error"],
};

/// Lists the tasks of nodes, of this one when none is named.
pub async fn run(cx: &Context, args: PsArgs) -> Outcome {
    let mut names = args.nodes.clone();
    if names.is_empty() {
        names.push("self".to_owned());
    }
    let mut rows = Vec::new();
    for name in &names {
        let node: Value = cx.client.get(super::path(name)).read().await?;
        let mut asked = args.filters.clone();
        asked.push(format!("node={}", node["ID"].as_str().unwrap_or_default()));
        let tasks: Vec<Value> = cx.client.get("/tasks").query_opt("filters", filters(&asked)?).read().await?;
        for task in &tasks {
            rows.push(row(cx, task, &node, &args).await);
        }
    }
    LIST.print(cx.printer, args.format.format.as_deref(), args.quiet, args.no_trunc, rows)?;
    Ok(Exit::OK)
}

async fn row(cx: &Context, task: &Value, node: &Value, args: &PsArgs) -> Row {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let id = text(&task["ID"]);
    let service = text(&task["ServiceID"]);
    let mut name = service.clone();
    if !args.no_resolve
        && let Ok(found) = cx.client.get(format!("/services/{service}")).read::<Value>().await
    {
        name = text(&found["Spec"]["Name"]);
    }
    let slot = task["Slot"].as_u64().map_or_else(|| text(&task["NodeID"]), |slot| slot.to_string());
    let status = task.get("Status").cloned().unwrap_or_else(|| json!({}));
    let host = if args.no_resolve { &node["ID"] } else { &node["Description"]["Hostname"] };
    Row::new()
        .set("ID", if args.no_trunc { id } else { id.chars().take(12).collect() })
        .set("Name", format!("{name}.{slot}"))
        .set("Image", text(&task["Spec"]["ContainerSpec"]["Image"]))
        .set("Node", text(host))
        .set("DesiredState", text(&task["DesiredState"]))
        .set("CurrentState", format!("{} {}", text(&status["State"]), text(&status["Timestamp"])))
        .set("Error", text(&status["Err"]))
        .set("Ports", "")
}
