//! `hoist kill`

use crate::cli::{
    Context, Outcome,
    args::container::KillArgs,
    commands::{
        container::{hints, path},
        each::each,
    },
};

/// Sends a signal to containers.
pub async fn run(cx: &Context, args: KillArgs) -> Outcome {
    let signal = args.signal.as_deref().unwrap_or("KILL");
    each(cx, &args.containers, |name| async move {
        match cx.client.post(path(name, "kill")).query("signal", signal).done().await {
            Ok(()) => Ok(name.to_owned()),
            Err(err) => Err(hints::containers(cx, err.into(), name).await),
        }
    })
    .await
}
