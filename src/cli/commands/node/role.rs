//! `hoist node promote` and `hoist node demote`

use serde_json::Value;

use super::{change, path};
use crate::cli::{Context, Outcome, args::node::NamesArgs, commands::each::each};

/// Gives nodes another role.
pub async fn run(cx: &Context, args: NamesArgs, role: &'static str) -> Outcome {
    each(cx, &args.nodes, |name| async move {
        let node: Value = cx.client.get(path(name)).read().await?;
        if node["Spec"]["Role"] == role {
            return Ok(format!("Node {name} is already a {role}."));
        }
        change(cx, name, |spec| {
            spec["Role"] = role.into();
            Ok(())
        })
        .await?;
        Ok(match role {
            "manager" => format!("Node {name} promoted to a manager in the swarm."),
            _ => format!("Manager {name} demoted in the swarm."),
        })
    })
    .await
}
