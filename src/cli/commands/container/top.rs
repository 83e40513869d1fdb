//! `hoist top`

use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome,
    args::container::TopArgs,
    commands::container::{hints, path},
    format::table,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Top {
    titles: Vec<String>,
    processes: Vec<Vec<String>>,
}

/// Docker's columns are this wide at least.
const COLUMN: usize = 20;

/// Lists the processes of a container.
pub async fn run(cx: &Context, args: TopArgs) -> Outcome {
    let words: Vec<String> = args.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let options = words[1..].join(" ");
    let request = cx.client.get(path(&words[0], "top"));
    let request = if options.is_empty() { request } else { request.query("ps_args", &options) };
    let top: Top = match request.read().await {
        Ok(top) => top,
        Err(err) => return Err(hints::containers(cx, err.into(), &words[0]).await),
    };
    let lines: Vec<String> = std::iter::once(&top.titles).chain(&top.processes).map(|cells| cells.join("\t")).collect();
    cx.printer.text(table::align_at_least(COLUMN, &lines, None, &[]))?;
    Ok(Exit::OK)
}
