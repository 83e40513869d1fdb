//! `hoist secret rm` and `hoist config rm`

use super::{Kind, hint};
use crate::cli::{Context, Outcome, args::file::RmArgs, commands::each::each};

/// Removes them.
pub async fn run(cx: &Context, kind: Kind, args: RmArgs) -> Outcome {
    each(cx, &args.names, |name| async move {
        match cx.client.delete(kind.path(name)).done().await {
            Ok(()) => Ok(name.to_owned()),
            Err(err) => Err(hint(cx, kind, err.into(), name).await),
        }
    })
    .await
}
