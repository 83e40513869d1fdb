//! `hoist history`

use hoist_proto::unit;
use serde::Deserialize;

use super::{path, platform_json};
use crate::cli::{
    Context, Exit, Outcome,
    args::image::HistoryArgs,
    commands::container::{
        hints,
        ls::{ellipsis, short},
    },
    format::{List, Row, time},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Line {
    id: String,
    created: i64,
    created_by: String,
    size: u64,
    comment: String,
}

const LIST: List<'_> = List {
    headings: &[
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ],
    columns: "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    quiet: "{{.ID}}",
    may_cut: &["CreatedBy", "Comment"],
};

/// Shows the steps that made an image.
pub async fn run(cx: &Context, args: HistoryArgs) -> Outcome {
    let request = cx
        .client
        .get(path(&args.image, "history"))
        .query_opt("platform", args.platform.as_deref().map(platform_json).transpose()?);
    let lines: Vec<Line> = match request.read().await {
        Ok(lines) => lines,
        Err(err) => return Err(hints::images(cx, err.into(), &args.image).await),
    };
    let rows = lines
        .into_iter()
        .map(|line| {
            let by = line.created_by.replace('\t', " ");
            let since = if args.human { time::ago(line.created) } else { time::rfc3339(line.created) };
            Row::new()
                .set("Comment", line.comment)
                .set("CreatedAt", time::rfc3339(line.created))
                .set("CreatedBy", if args.no_trunc { by } else { ellipsis(&by, 45) })
                .set("CreatedSince", if line.created > 0 { since } else { "N/A".to_owned() })
                .set("ID", short(&line.id, args.no_trunc))
                .set("Size", if args.human { unit::format_bytes_short(line.size) } else { line.size.to_string() })
        })
        .collect();
    let exact = LIST.columns.replace("CreatedSince", "CreatedAt");
    let list = if args.human { LIST } else { List { columns: &exact, ..LIST } };
    list.print(cx.printer, args.format.format.as_deref(), args.quiet, args.no_trunc, rows)?;
    Ok(Exit::OK)
}
