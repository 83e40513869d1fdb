//! `hoist search`

use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome,
    args::registry::SearchArgs,
    client::filters,
    commands::container::ls::ellipsis,
    credentials,
    format::{List, Row},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Found {
    name: String,
    description: String,
    star_count: i64,
    is_official: bool,
}

const LIST: List<'_> = List {
    headings: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("StarCount", "STARS"),
        ("IsOfficial", "OFFICIAL"),
        ("IsAutomated", "AUTOMATED"),
    ],
    columns: "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
    quiet: "{{.Name}}",
    may_cut: &["Description"],
};

/// Searches Docker Hub.
pub async fn run(cx: &Context, args: SearchArgs) -> Outcome {
    let found: Vec<Found> = cx
        .client
        .get("/images/search")
        .query("term", &args.term)
        .query_opt("limit", args.limit.map(|limit| limit.to_string()))
        .query_opt("filters", filters(&args.filters)?)
        .header_opt("x-registry-auth", credentials::header_for(&cx.config_dir, &args.term)?)
        .read()
        .await?;
    let rows = found
        .into_iter()
        .map(|line| {
            let text = line.description.replace(['\n', '\r', '\t'], " ");
            Row::new()
                .set("Description", if args.no_trunc { text } else { ellipsis(&text, 45) })
                .set("IsAutomated", "")
                .set("IsOfficial", if line.is_official { "[OK]" } else { "" })
                .set("Name", line.name)
                .set("StarCount", line.star_count.to_string())
        })
        .collect();
    LIST.print(cx.printer, args.format.as_deref(), false, args.no_trunc, rows)?;
    Ok(Exit::OK)
}
