//! `hoist checkpoint`

use serde::Deserialize;
use serde_json::json;

use crate::cli::{
    Context, Exit, Outcome,
    args::checkpoint::{CheckpointCommand, CreateArgs, LsArgs, RmArgs},
    client::path_segment,
    commands::container::{hints, path},
    failure::Failure,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    name: String,
}

/// Carries out one of them.
pub async fn run(cx: &Context, command: CheckpointCommand) -> Outcome {
    match command {
        CheckpointCommand::Create(args) => create(cx, args).await,
        CheckpointCommand::Ls(args) => ls(cx, args).await,
        CheckpointCommand::Rm(args) => rm(cx, args).await,
    }
}

/// A directory as the daemon takes it: from the root on.
pub fn directory(dir: Option<String>) -> Result<Option<String>, Failure> {
    let Some(dir) = dir.filter(|dir| !dir.is_empty()) else { return Ok(None) };
    let whole = std::path::absolute(&dir).map_err(|error| Failure::new(format!("--checkpoint-dir {dir}: {error}")))?;
    Ok(Some(whole.to_string_lossy().into_owned()))
}

async fn create(cx: &Context, args: CreateArgs) -> Outcome {
    let body = json!({
        "CheckpointID": args.checkpoint,
        "CheckpointDir": directory(args.checkpoint_dir)?.unwrap_or_default(),
        "Exit": !args.leave_running,
    });
    if let Err(err) = cx.client.post(path(&args.container, "checkpoints")).json(&body)?.done().await {
        return Err(hints::containers(cx, err.into(), &args.container).await);
    }
    cx.printer.line(args.checkpoint)?;
    Ok(Exit::OK)
}

async fn ls(cx: &Context, args: LsArgs) -> Outcome {
    let request = cx.client.get(path(&args.container, "checkpoints"));
    let found: Vec<Summary> = match request.query_opt("dir", directory(args.checkpoint_dir)?).read().await {
        Ok(found) => found,
        Err(err) => return Err(hints::containers(cx, err.into(), &args.container).await),
    };
    cx.printer.line("CHECKPOINT NAME")?;
    for checkpoint in found {
        cx.printer.line(checkpoint.name)?;
    }
    Ok(Exit::OK)
}

async fn rm(cx: &Context, args: RmArgs) -> Outcome {
    let what = format!("checkpoints/{}", path_segment(&args.checkpoint));
    let request = cx.client.delete(path(&args.container, &what));
    match request.query_opt("dir", directory(args.checkpoint_dir)?).done().await {
        Ok(()) => Ok(Exit::OK),
        Err(err) => Err(hints::containers(cx, err.into(), &args.container).await),
    }
}
