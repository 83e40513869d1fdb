//! `POST /containers/{id}/attach`.

use std::time::Duration;

use axum::{
    extract::{Path, Request, State as With},
    response::Response,
};
use hoist_engine::{AttachOptions, Attached, Engine, LogOptions, LogStream, WaitCondition};

use crate::api::{
    State,
    error::ApiError,
    params::Params,
    stream::{
        self,
        detach::DetachKeys,
        hijack::Hijack,
        pump::{self, Parting, Plan},
    },
    version::ApiVersion,
};

/// How long the end of a process that seems to live on is waited for once its output has ended.
const EXIT: Duration = Duration::from_secs(1);

pub async fn attach(
    With(state): With<State>,
    Path(id): Path<String>,
    version: ApiVersion,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    let keys = detach_keys(&params)?;
    let wish = Wish {
        running: params.flag("running"),
        logs: params.flag("logs"),
        stream: params.flag("stream"),
        stdin: params.flag("stdin"),
        stdout: params.flag("stdout"),
        stderr: params.flag("stderr"),
    };
    let (attached, earlier) = wish.connect(&state, &id).await?;
    let plan = Plan {
        stdin: wish.stdin && wish.stream,
        stdout: wish.stdout && wish.stream,
        stderr: wish.stderr && wish.stream,
        raw: attached.tty,
        keys,
    };
    let kind = stream::content_type(attached.tty, version);
    if !wish.stream {
        let raw = attached.tty;
        return Ok(Hijack::new(request).answer(kind, &state.tasks, move |taken| pump::recall(taken, earlier, raw)));
    }
    let (stop, engine) = (state.stop.clone(), state.engine.clone());
    // Clients remove the container as soon as the stream ends, and it ends just before the process
    // does. A process that closes its output and lives on is not waited for.
    Ok(Hijack::new(request).answer(kind, &state.tasks, move |taken| async move {
        let exited = async {
            let mut ended = std::pin::pin!(engine.wait(&id, WaitCondition::NotRunning));
            // What is given back after the end of a process may take its time on a busy machine.
            while tokio::time::timeout(EXIT, &mut ended).await.is_err() && !lives(&engine, &id).await {}
        };
        tokio::select! {
            parting = pump::run(taken, attached, earlier, plan, exited) => if parting == Parting::Detached {
                engine.detached(&id);
            },
            () = stop.cancelled() => {}
        }
    }))
}

/// Whether a container's first process is there and no zombie.
async fn lives(engine: &Engine, id: &str) -> bool {
    let Some(pid) = engine.inspect(id).await.ok().and_then(|container| container.state.pid) else { return false };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// `detachKeys`.
pub fn detach_keys(params: &Params) -> Result<DetachKeys, ApiError> {
    DetachKeys::parse(params.text("detachKeys").unwrap_or_default())
}

/// What an attachment is to carry.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Hoist's own: whoever asks has seen it run, and waits for no start.
    pub running: bool,
    pub logs: bool,
    pub stream: bool,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

impl Wish {
    /// Connects to the streams, and to the log up to this moment, so that nothing is told twice.
    pub async fn connect(self, state: &State, id: &str) -> Result<(Attached, Option<LogStream>), ApiError> {
        let id = state.engine.resolve(id)?;
        let options = AttachOptions {
            stdin: self.stdin && self.stream,
            stdout: self.stdout && self.stream,
            stderr: self.stderr && self.stream,
        };
        let attached = match self.running {
            true => state.engine.attach_running(id.as_str(), options).await?,
            false => state.engine.attach(id.as_str(), options).await?,
        };
        let earlier = if self.logs && (self.stdout || self.stderr) {
            let options = LogOptions {
                stdout: self.stdout,
                stderr: self.stderr,
                until: Some(state.now()),
                ..LogOptions::default()
            };
            Some(state.engine.logs(id.as_str(), options).await?)
        } else {
            None
        };
        Ok((attached, earlier))
    }
}
