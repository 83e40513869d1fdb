//! `hoist stop`

use crate::cli::{
    Context, Outcome,
    args::container::StopArgs,
    commands::{
        container::{hints, path},
        each::each,
    },
};

/// Asks containers to stop, and kills those that do not.
pub async fn run(cx: &Context, args: StopArgs) -> Outcome {
    let (signal, timeout) = (args.signal.as_deref(), args.timeout.map(|seconds| seconds.to_string()));
    let timeout = timeout.as_deref();
    each(cx, &args.containers, |name| async move {
        let request = cx.client.post(path(name, "stop")).query_opt("signal", signal).query_opt("t", timeout);
        match request.done().await {
            Ok(()) => Ok(name.to_owned()),
            Err(err) => Err(hints::containers(cx, err.into(), name).await),
        }
    })
    .await
}
