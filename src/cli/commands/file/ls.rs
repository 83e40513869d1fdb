//! `hoist secret ls` and `hoist config ls`

use jiff::Timestamp;

use super::Kind;
use crate::{
    api::dto::file::File,
    cli::{
        Context, Exit, Outcome,
        args::file::LsArgs,
        client::filters,
        format::{List, Row, time},
    },
};

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("CreatedAt", "CREATED"),
    ("UpdatedAt", "UPDATED"),
    ("Labels", "LABELS"),
];

/// Lists them.
pub async fn run(cx: &Context, kind: Kind, args: LsArgs) -> Outcome {
    let list = List {
        headings: HEADINGS,
        columns: match kind {
            Kind::Secret => "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}",
            Kind::Config => "{{.ID}}\t{{.Name}}\t{{.CreatedAt}}\t{{.UpdatedAt}}",
        },
        quiet: "{{.ID}}",
        may_cut: &[],
    };
    let files: Vec<File> =
        cx.client.get(kind.collection()).query_opt("filters", filters(&args.filters)?).read().await?;
    let rows = files.iter().map(row).collect();
    list.print(cx.printer, args.format.format.as_deref(), args.quiet, false, rows)?;
    Ok(Exit::OK)
}

fn row(file: &File) -> Row {
    let ago = |at: &str| at.parse::<Timestamp>().map_or_else(|_| String::new(), |at| time::ago(at.as_second()));
    Row::new()
        .set("ID", file.id.clone())
        .set("Name", file.spec.name.clone())
        .set("Driver", file.spec.driver.as_ref().map(|driver| driver.name.clone()).unwrap_or_default())
        .set("CreatedAt", ago(&file.created_at))
        .set("UpdatedAt", ago(&file.updated_at))
        .labels(&file.spec.labels)
}
