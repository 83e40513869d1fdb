//! `hoist secret update` and `hoist config update`

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{Kind, content, hint};
use crate::{
    api::dto::file::Rotated,
    cli::{Context, Exit, Outcome, args::file::UpdateArgs, commands::service::converge},
};

/// Puts a new content in place; the services that use it replace their tasks as their update settings say.
pub async fn run(cx: &Context, kind: Kind, args: UpdateArgs) -> Outcome {
    let body = json!({ "Data": STANDARD.encode(content(&args.file)?) });
    let request = cx.client.post(format!("/hoist/v1{}/rotate", kind.path(&args.name))).json(&body)?;
    let rotated: Rotated = match request.read().await {
        Ok(rotated) => rotated,
        Err(err) => return Err(hint(cx, kind, err.into(), &args.name).await),
    };
    cx.printer.line(&rotated.id)?;
    let mut exit = Exit::OK;
    if !args.detach {
        for service in &rotated.services {
            if converge::wait(cx, service, args.quiet).await? != Exit::OK {
                exit = Exit::FAILED;
            }
        }
    }
    Ok(exit)
}
