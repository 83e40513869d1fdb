//! `hoist stack ls`

use std::collections::BTreeMap;

use super::NAMESPACE;
use crate::cli::{
    Context, Exit, Outcome,
    args::stack::LsArgs,
    client::filters,
    commands::service::ls as services_ls,
    format::{List, Row},
};

const LIST: List<'_> = List {
    headings: &[("Name", "NAME"), ("Services", "SERVICES"), ("Orchestrator", "ORCHESTRATOR")],
    columns: "{{.Name}}\t{{.Services}}",
    quiet: "{{.Name}}",
    may_cut: &[],
};

/// Lists stacks.
pub async fn run(cx: &Context, args: LsArgs) -> Outcome {
    let services = services_ls::list(cx, filters(&[format!("label={NAMESPACE}")])?).await?;
    let mut stacks: BTreeMap<String, usize> = BTreeMap::new();
    for service in services {
        if let Some(stack) = service.spec.labels.get(NAMESPACE) {
            *stacks.entry(stack.clone()).or_default() += 1;
        }
    }
    let row = |(name, services): (String, usize)| {
        Row::new().set("Name", name).set("Services", services.to_string()).set("Orchestrator", "Swarm")
    };
    let rows = stacks.into_iter().map(row).collect();
    LIST.print(cx.printer, args.format.format.as_deref(), false, false, rows)?;
    Ok(Exit::OK)
}
