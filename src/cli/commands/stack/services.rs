//! `hoist stack services`

use super::{label, nothing_in, services_of};
use crate::cli::{Context, Outcome, args::stack::ServicesArgs, client::filters, commands::service::ls as services_ls};

/// Lists the services of a stack.
pub async fn run(cx: &Context, args: ServicesArgs) -> Outcome {
    if services_of(cx, &args.stack).await?.is_empty() {
        return Err(nothing_in(&args.stack));
    }
    let mut all = args.filters.clone();
    all.push(label(&args.stack));
    services_ls::show(cx, filters(&all)?, args.format.format.as_deref(), args.quiet).await
}
