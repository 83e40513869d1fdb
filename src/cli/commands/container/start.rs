//! `hoist start`

use crate::cli::{
    Context, Exit, Outcome,
    args::container::StartArgs,
    commands::{
        container::{attach, hints, path},
        each::each,
    },
    failure::Failure,
    spec::SpecError,
    stream::{DetachKeys, End, terminal},
};

/// Starts containers; with `-a` or `-i`, one, and ends with its code.
pub async fn run(cx: &Context, args: StartArgs) -> Outcome {
    if args.checkpoint.is_some() || args.checkpoint_dir.is_some() {
        return Err(SpecError::unsupported("checkpoint", "checkpoints are not there").into());
    }
    if args.attach || args.interactive {
        let [name] = args.containers.as_slice() else {
            return Err(Failure::new("only one container can be started and attached to at once"));
        };
        return attached(cx, name, &args).await;
    }
    each(cx, &args.containers, |name| async move {
        match cx.client.post(path(name, "start")).done().await {
            Ok(()) => Ok(name.to_owned()),
            Err(err) => Err(hints::containers(cx, err.into(), name).await),
        }
    })
    .await
}

async fn attached(cx: &Context, name: &str, args: &StartArgs) -> Outcome {
    let keys = DetachKeys::parse(args.detach_keys.as_deref())?;
    let target = attach::target(cx, name).await?;
    let stream = attach::open(cx, &target, args.interactive, false, &args.detach_keys).await?;
    let session = attach::session(&target, stream.1.as_deref(), args.interactive, true, keys);
    terminal::check(session.tty, session.stdin)?;
    // Asked for before the start: a container that ends at once is not missed.
    let mut waiting = tokio::spawn({
        let request = cx.client.clone();
        let path = path(&target.id, "wait");
        async move { request.post(path).query("condition", "next-exit").read::<attach::Waited>().await }
    });
    // The wait must be on its way before the start.
    tokio::select! {
        biased;
        done = &mut waiting => return Err(match done {
            Ok(Err(err)) => err.into(),
            _ => Failure::new("the daemon ended the wait before the container was started"),
        }),
        () = tokio::time::sleep(std::time::Duration::from_millis(2)) => {}
    }
    if let Err(err) = cx.client.post(path(&target.id, "start")).done().await {
        waiting.abort();
        return Err(Failure::from(err));
    }
    attach::resize(cx, &target).await;
    match session.run(cx, stream.0, &mut ()).await? {
        End::Detached => Ok(Exit::OK),
        _ => match waiting.await {
            Ok(waited) => attach::code(waited?),
            Err(_) => Err(Failure::new("the wait for the container's end was cut short")),
        },
    }
}
