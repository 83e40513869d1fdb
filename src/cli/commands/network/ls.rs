//! `hoist network ls`

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome,
    args::network::LsArgs,
    client::filters,
    commands::container::ls::short,
    format::{List, Row, time},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Line {
    id: String,
    name: String,
    driver: String,
    scope: String,
    created: String,
    internal: bool,
    #[serde(rename = "EnableIPv4")]
    ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    ipv6: bool,
    labels: Option<BTreeMap<String, String>>,
}

const LIST: List<'_> = List {
    headings: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
    columns: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
    quiet: "{{.ID}}",
    may_cut: &["Labels"],
};

/// Lists networks.
pub async fn run(cx: &Context, args: LsArgs) -> Outcome {
    let mut lines: Vec<Line> = cx.client.get("/networks").query_opt("filters", filters(&args.filters)?).read().await?;
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    let rows = lines
        .into_iter()
        .map(|line| {
            Row::new()
                .set("CreatedAt", time::stamp_of(&line.created))
                .set("Driver", line.driver)
                .set("ID", short(&line.id, args.no_trunc))
                .set("IPv4", line.ipv4.unwrap_or(true).to_string())
                .set("IPv6", line.ipv6.to_string())
                .set("Internal", line.internal.to_string())
                .labels(&line.labels.unwrap_or_default())
                .set("Name", line.name)
                .set("Scope", line.scope)
        })
        .collect();
    LIST.print(cx.printer, args.format.format.as_deref(), args.quiet, args.no_trunc, rows)?;
    Ok(Exit::OK)
}
