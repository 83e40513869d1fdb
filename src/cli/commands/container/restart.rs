//! `hoist restart`

use crate::cli::{
    Context, Outcome,
    args::container::RestartArgs,
    commands::{
        container::{hints, path},
        each::each,
    },
};

/// Stops and starts containers.
pub async fn run(cx: &Context, args: RestartArgs) -> Outcome {
    let (signal, timeout) = (args.signal.as_deref(), args.timeout.map(|seconds| seconds.to_string()));
    let timeout = timeout.as_deref();
    each(cx, &args.containers, |name| async move {
        let request = cx.client.post(path(name, "restart")).query_opt("signal", signal).query_opt("t", timeout);
        match request.done().await {
            Ok(()) => Ok(name.to_owned()),
            Err(err) => Err(hints::containers(cx, err.into(), name).await),
        }
    })
    .await
}
