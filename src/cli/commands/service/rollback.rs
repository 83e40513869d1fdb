//! `hoist service rollback`

use super::{converge, get, post};
use crate::cli::{Context, Exit, Outcome, args::service::RollbackArgs};

/// Returns a service to what it was before its last change.
pub async fn run(cx: &Context, args: RollbackArgs) -> Outcome {
    let service = get(cx, &args.service).await?;
    post(cx, &service, &service.spec, true, None).await?;
    cx.printer.line(&args.service)?;
    if args.detach {
        return Ok(Exit::OK);
    }
    converge::wait(cx, &service.id, args.quiet).await
}
