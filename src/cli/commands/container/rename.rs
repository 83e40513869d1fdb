//! `hoist rename`

use crate::cli::{
    Context, Exit, Outcome,
    args::container::RenameArgs,
    commands::container::{hints, path},
};

/// Gives a container another name.
pub async fn run(cx: &Context, args: RenameArgs) -> Outcome {
    match cx.client.post(path(&args.container, "rename")).query("name", &args.name).done().await {
        Ok(()) => Ok(Exit::OK),
        Err(err) => Err(hints::containers(cx, err.into(), &args.container).await),
    }
}
