//! `hoist pause` and `hoist unpause`

use crate::cli::{
    Context, Outcome,
    args::container::NamesArgs,
    commands::{
        container::{hints, path},
        each::each,
    },
};

/// Freezes containers.
pub async fn pause(cx: &Context, args: NamesArgs) -> Outcome {
    act(cx, args, "pause").await
}

/// Lets frozen containers go on.
pub async fn unpause(cx: &Context, args: NamesArgs) -> Outcome {
    act(cx, args, "unpause").await
}

async fn act(cx: &Context, args: NamesArgs, verb: &'static str) -> Outcome {
    each(cx, &args.containers, |name| async move {
        match cx.client.post(path(name, verb)).done().await {
            Ok(()) => Ok(name.to_owned()),
            Err(err) => Err(hints::containers(cx, err.into(), name).await),
        }
    })
    .await
}
