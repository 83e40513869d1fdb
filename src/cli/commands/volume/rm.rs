//! `hoist volume rm`

use super::{hint, path};
use crate::cli::{Context, Outcome, args::volume::RmArgs, commands::each::each, failure::Failure};

/// Removes volumes.
pub async fn run(cx: &Context, args: RmArgs) -> Outcome {
    let force = args.force;
    each(cx, &args.volumes, |name| async move {
        match cx.client.delete(path(name)).flag("force", force).done().await.map_err(Failure::from) {
            Ok(()) => Ok(name.to_owned()),
            Err(failure) if failure.is_not_found() && force => Ok(String::new()),
            Err(failure) => Err(hint(cx, failure, name).await),
        }
    })
    .await
}
