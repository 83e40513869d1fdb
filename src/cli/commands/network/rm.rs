//! `hoist network rm`

use super::{hint, path};
use crate::cli::{Context, Outcome, args::network::RmArgs, commands::each::each, failure::Failure};

/// Removes networks.
pub async fn run(cx: &Context, args: RmArgs) -> Outcome {
    let force = args.force;
    each(cx, &args.networks, |name| async move {
        match cx.client.delete(path(name)).done().await.map_err(Failure::from) {
            Ok(()) => Ok(name.to_owned()),
            Err(failure) if failure.is_not_found() && force => Ok(String::new()),
            Err(failure) => Err(hint(cx, failure, name).await),
        }
    })
    .await
}
