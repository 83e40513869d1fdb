//! `hoist service rm`

use super::{hint, path};
use crate::cli::{Context, Outcome, args::service::NamesArgs, commands::each::each};

/// Removes services.
pub async fn run(cx: &Context, args: NamesArgs) -> Outcome {
    each(cx, &args.services, |name| async move {
        match cx.client.delete(path(name)).done().await {
            Ok(()) => Ok(name.to_owned()),
            Err(err) => Err(hint(cx, err.into(), name).await),
        }
    })
    .await
}
