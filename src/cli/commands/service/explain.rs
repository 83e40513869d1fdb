//! `hoist explain`

use hoist_proto::unit;
use serde_json::Value;

use super::{get, only};
use crate::{
    api::dto::task::Task,
    cli::{
        Context, Exit, Outcome, args::service::ExplainArgs, client::path_segment, failure::Failure, format::inspect,
    },
};

/// Says why a task is where it is, or why it waits.
pub async fn run(cx: &Context, args: ExplainArgs) -> Outcome {
    let id = find(cx, &args.task).await?;
    let found: Value = cx.client.get(format!("/hoist/v1/tasks/{}/explain", path_segment(&id))).read().await?;
    if args.json {
        cx.printer.text(inspect::render(None, vec![found])?)?;
        return Ok(Exit::OK);
    }
    cx.printer.text(text(&found))?;
    Ok(Exit::OK)
}

/// `SERVICE.SLOT` is the newest task of that place; anything else is an id.
async fn find(cx: &Context, name: &str) -> Result<String, Failure> {
    let Some((service, slot)) = name.rsplit_once('.') else { return Ok(name.to_owned()) };
    let Ok(slot) = slot.parse::<u32>() else { return Ok(name.to_owned()) };
    let service = get(cx, service).await?;
    let mut tasks: Vec<Task> = cx.client.get("/tasks").query("filters", only("service", &service.id)).read().await?;
    tasks.retain(|task| task.slot == slot);
    tasks.sort_by(|a, b| a.created_at.cmp(&b.created_at));
    let newest = tasks.pop().ok_or_else(|| Failure::new(format!("there is no task {name}")))?;
    Ok(newest.id)
}

fn text(found: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (task, placement) = (&found["task"], &found["placement"]);
    let status = &task["status"];
    let name = format!("{}.{}", word(&task["service_name"]), task["slot"]);
    let mut out = format!("{name} is {}, and is to be {}", word(&status["state"]), word(&task["desired"]));
    let message = word(&status["message"]);
    if !message.is_empty() {
        out.push_str(&format!(": {message}"));
    }
    out.push('\n');
    let error = word(&status["error"]);
    if !error.is_empty() {
        out.push_str(&format!("  {error}\n"));
    }
    let here = word(&task["node"]);
    let suitable = placement["suitable"].as_array().cloned().unwrap_or_default();
    if here.is_empty() {
        out.push_str("it has no node\n");
    } else if let Some(node) = suitable.iter().find(|node| word(&node["node"]) == here) {
        out.push_str(&format!("it is on {}: {}\n", word(&node["hostname"]), standing(node)));
    } else {
        out.push_str(&format!("it is on node {here}\n"));
    }
    let others: Vec<&Value> = suitable.iter().filter(|node| word(&node["node"]) != here).collect();
    let count = placement["suitable_count"].as_u64().unwrap_or(0);
    if !others.is_empty() {
        out.push_str(&format!("nodes that would take it ({count} in all, the best first):\n"));
        for node in others {
            out.push_str(&format!("  {}: {}\n", word(&node["hostname"]), standing(node)));
        }
    }
    let refused = placement["refused"].as_array().cloned().unwrap_or_default();
    if !refused.is_empty() {
        out.push_str("nodes that would not:\n");
        for refusal in refused {
            let nodes: Vec<String> = refusal["nodes"].as_array().into_iter().flatten().map(word).collect();
            out.push_str(&format!("  {}: {}\n", word(&refusal["reason"]), nodes.join(", ")));
        }
    }
    out
}

fn standing(node: &Value) -> String {
    let count = |key: &str| node[key].as_u64().unwrap_or(0);
    let memory = unit::format_bytes_binary(count("free_memory"));
    format!(
        "{} other tasks of the service, {} tasks in all, {memory} of memory not set aside",
        count("tasks_of_service"),
        count("tasks")
    )
}
