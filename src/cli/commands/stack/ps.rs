//! `hoist stack ps`

use super::{NAMESPACE, nothing_in};
use crate::cli::{Context, Exit, Outcome, args::stack::PsArgs, commands::service::ps as tasks};

/// Lists the tasks of a stack.
pub async fn run(cx: &Context, args: PsArgs) -> Outcome {
    let mut filter = tasks::own_filters(&args.list)?;
    filter.entry("label".to_owned()).or_default().push(format!("{NAMESPACE}={}", args.stack));
    if tasks::show(cx, &filter, &args.list).await? == 0 {
        return Err(nothing_in(&args.stack));
    }
    Ok(Exit::OK)
}
