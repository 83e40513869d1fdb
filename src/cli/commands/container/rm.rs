//! `hoist rm`

use crate::cli::{
    Context, Outcome,
    args::container::RmArgs,
    client::path_segment,
    commands::{container::hints, each::each},
    failure::Failure,
};

/// Removes containers.
pub async fn run(cx: &Context, args: RmArgs) -> Outcome {
    let args = &args;
    each(cx, &args.containers, |name| async move {
        let path = format!("/containers/{}", path_segment(name.trim_start_matches('/')));
        let request = cx.client.delete(path).flag("v", args.volumes).flag("force", args.force).flag("link", args.link);
        match request.done().await.map_err(Failure::from) {
            Ok(()) => Ok(name.to_owned()),
            // Gone is what was asked for.
            Err(failure) if failure.is_not_found() && args.force => {
                cx.printer.say(failure.message);
                Ok(String::new())
            }
            Err(failure) if failure.status == Some(409) && !args.force => {
                Err(failure.hint("stop it first, or remove it all the same with --force"))
            }
            Err(failure) => Err(hints::containers(cx, failure, name).await),
        }
    })
    .await
}
