//! `hoist diff`

use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome,
    args::container::OneArgs,
    commands::container::{hints, path},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    path: String,
    kind: u8,
}

/// Shows what changed in a container's file system.
pub async fn run(cx: &Context, args: OneArgs) -> Outcome {
    let changes: Option<Vec<Change>> = match cx.client.get(path(&args.container, "changes")).read().await {
        Ok(changes) => changes,
        Err(err) => return Err(hints::containers(cx, err.into(), &args.container).await),
    };
    let lines: String = changes
        .into_iter()
        .flatten()
        .map(|change| {
            let letter = match change.kind {
                0 => 'C',
                1 => 'A',
                _ => 'D',
            };
            format!("{letter} {}\n", change.path)
        })
        .collect();
    cx.printer.text(lines)?;
    Ok(Exit::OK)
}
