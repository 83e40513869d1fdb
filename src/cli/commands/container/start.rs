//! `hoist start`

use crate::cli::{
    Context, Exit, Outcome,
    args::container::StartArgs,
    client::Request,
    commands::{
        checkpoint::directory,
        container::{attach, hints, path},
        each::each,
    },
    failure::Failure,
    stream::{DetachKeys, End, terminal},
};

/// Where a container goes on, if it is not started anew.
struct Origin {
    checkpoint: Option<String>,
    dir: Option<String>,
}

impl Origin {
    fn ask<'a>(&self, cx: &'a Context, name: &str) -> Request<'a> {
        let request = cx.client.post(path(name, "start"));
        request.query_opt("checkpoint", self.checkpoint.as_ref()).query_opt("checkpoint-dir", self.dir.as_ref())
    }
}

/// Starts containers; with `-a` or `-i`, one, and ends with its code.
pub async fn run(cx: &Context, args: StartArgs) -> Outcome {
    if args.checkpoint.is_some() && args.containers.len() > 1 {
        return Err(Failure::usage("only one container can be restored at once"));
    }
    let from = Origin { checkpoint: args.checkpoint.clone(), dir: directory(args.checkpoint_dir.clone())? };
    if args.attach || args.interactive {
        let [name] = args.containers.as_slice() else {
            return Err(Failure::new("only one container can be started and attached to at once"));
        };
        return attached(cx, name, &args, &from).await;
    }
    let from = &from;
    each(cx, &args.containers, |name| async move {
        match from.ask(cx, name).done().await {
            Ok(()) => Ok(name.to_owned()),
            Err(err) => Err(hints::containers(cx, err.into(), name).await),
        }
    })
    .await
}

async fn attached(cx: &Context, name: &str, args: &StartArgs, from: &Origin) -> Outcome {
    let keys = DetachKeys::parse(args.detach_keys.as_deref())?;
    let target = attach::target(cx, name).await?;
    let stream = attach::open(cx, &target, args.interactive, attach::Open::default(), &args.detach_keys).await?;
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
    if let Err(err) = from.ask(cx, &target.id).done().await {
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
