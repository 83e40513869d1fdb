//! `hoist node ps`

use serde_json::Value;

use crate::cli::{Context, Exit, Outcome, args::node::PsArgs, commands::service::ps, failure::Failure};

/// Lists the tasks of nodes, of this one when none is named.
pub async fn run(cx: &Context, args: PsArgs) -> Outcome {
    let mut names = args.nodes.clone();
    if names.is_empty() {
        names.push("self".to_owned());
    }
    let mut filter = ps::own_filters(&args.list)?;
    let mut failures: Vec<Failure> = Vec::new();
    for name in &names {
        match cx.client.get(super::path(name)).read::<Value>().await {
            Ok(node) => filter.entry("node".into()).or_default().push(node["ID"].as_str().unwrap_or_default().into()),
            Err(error) => failures.push(error.into()),
        }
    }
    if failures.len() < names.len() {
        ps::show(cx, &filter, &args.list).await?;
    }
    for failure in &failures {
        cx.printer.failure(failure);
    }
    Ok(if failures.is_empty() { Exit::OK } else { Exit::FAILED })
}
