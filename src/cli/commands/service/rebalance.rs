//! `hoist service rebalance`

use super::{converge, get, hint};
use crate::cli::{Context, Exit, Outcome, args::service::RebalanceArgs};

/// Moves tasks from nodes that have more of a service's than others to those.
pub async fn run(cx: &Context, args: RebalanceArgs) -> Outcome {
    let mut exit = Exit::OK;
    for name in &args.services {
        let service = get(cx, name).await?;
        let answer = cx.client.post(format!("/hoist/v1/services/{}/rebalance", service.id)).read().await;
        let moved: serde_json::Value = match answer {
            Ok(moved) => moved,
            Err(err) => return Err(hint(cx, err.into(), name).await),
        };
        let moved = moved["Moved"].as_u64().unwrap_or(0);
        cx.printer.line(format!("{name}: {moved} tasks move"))?;
        if moved > 0 && !args.detach && converge::wait(cx, &service.id, args.quiet).await? != Exit::OK {
            exit = Exit::FAILED;
        }
    }
    Ok(exit)
}
