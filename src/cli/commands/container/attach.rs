//! `hoist attach`, and what `start -a` shares with it.

use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome,
    args::container::AttachArgs,
    client::Upgraded,
    commands::container::{hints, path},
    failure::Failure,
    stream::{DetachKeys, End, Session, Wire, terminal},
};

/// What must be known of a container to attach to it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Target {
    pub id: String,
    config: TargetConfig,
    state: TargetState,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetConfig {
    tty: bool,
    open_stdin: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetState {
    running: bool,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    restarting: bool,
}

/// How a container ended.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Waited {
    status_code: i64,
    error: Option<WaitError>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WaitError {
    message: String,
}

/// Attaches to a running container; ends with its code, or with 0 after detaching.
pub async fn run(cx: &Context, args: AttachArgs) -> Outcome {
    let keys = DetachKeys::parse(args.detach_keys.as_deref())?;
    let target = target(cx, &args.container).await?;
    if !target.state.running {
        return Err(Failure::new(format!("container {} is not running", args.container))
            .hint(format!("start it with: hoist start -a {}", args.container)));
    }
    if target.state.paused {
        return Err(
            Failure::new(format!("container {} is paused", args.container)).hint("let it go on with: hoist unpause")
        );
    }
    if target.state.restarting {
        return Err(Failure::new(format!("container {} is restarting", args.container)));
    }
    let stdin = !args.no_stdin && target.config.open_stdin;
    terminal::check(target.config.tty, stdin)?;
    let stream = open(cx, &target, stdin, Open { logs: args.logs, running: true }, &args.detach_keys).await?;
    let (client, id) = (cx.client.clone(), target.id.clone());
    let waiting = async move { client.post(path(&id, "wait")).read::<Waited>().await };
    resize(cx, &target).await;
    let session = session(&target, stream.1.as_deref(), stdin, args.sig_proxy, keys);
    match session.run(cx, stream.0, &mut ()).await? {
        End::Detached => Ok(Exit::OK),
        _ => code(waiting.await?),
    }
}

pub async fn target(cx: &Context, name: &str) -> Result<Target, Failure> {
    match cx.client.get(path(name, "json")).read().await {
        Ok(target) => Ok(target),
        Err(err) => Err(hints::containers(cx, err.into(), name).await),
    }
}

/// What a stream begins with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open {
    /// With what was written before.
    pub logs: bool,
    /// The container has been seen running: if it has ended since, that is an error, and no start is waited for.
    pub running: bool,
}

/// Opens the stream.
pub async fn open(
    cx: &Context,
    target: &Target,
    stdin: bool,
    how: Open,
    keys: &Option<String>,
) -> Result<(Upgraded, Option<String>), Failure> {
    let request = cx
        .client
        .post(path(&target.id, "attach"))
        .flag("stream", true)
        .flag("logs", how.logs)
        .flag("running", how.running)
        .flag("stdin", stdin)
        .flag("stdout", true)
        .flag("stderr", true)
        .query_opt("detachKeys", keys.as_ref());
    Ok(request.upgrade("tcp").await?)
}

pub fn session(target: &Target, content_type: Option<&str>, stdin: bool, signals: bool, keys: DetachKeys) -> Session {
    // The content type tells; servers that say nothing go by the terminal.
    let multiplexed = match content_type {
        Some("application/vnd.docker.multiplexed-stream") => true,
        Some("application/vnd.docker.raw-stream") if target.config.tty => false,
        _ => !target.config.tty,
    };
    Session {
        wire: Wire::Container { id: target.id.clone(), multiplexed },
        tty: target.config.tty,
        stdin: stdin && target.config.open_stdin,
        signals,
        detach_keys: keys,
    }
}

/// Tells a terminal's size.
pub async fn resize(cx: &Context, target: &Target) {
    if target.config.tty
        && let Some((rows, columns)) = terminal::size()
    {
        let request =
            cx.client.post(path(&target.id, "resize")).query("h", rows.to_string()).query("w", columns.to_string());
        // Before it is started, a container has no terminal yet; then the size comes with a later change.
        let _ = request.done().await;
    }
}

/// The container's code.
pub fn code(waited: Waited) -> Outcome {
    match waited.error.filter(|error| !error.message.is_empty()) {
        Some(error) => Err(Failure::new(error.message).code(Failure::USAGE)),
        None => Ok(Exit::container(waited.status_code)),
    }
}
