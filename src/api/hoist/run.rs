//! `POST /hoist/v1/run`: what `hoist run` takes five of Docker's requests for, on one connection.

use std::sync::Arc;

use axum::{
    extract::{Request, State as With},
    response::Response,
};
use hoist_engine::{AttachOptions, Created, Engine, EngineError, RemoveOptions, WaitCondition, WaitResult};
use hoist_image::{Auth, PullPolicy};
use hoist_proto::spec::ContainerSpec;
use hyper::upgrade::OnUpgrade;
use serde::Deserialize;

use super::session::{self, Event, Gone, Order, Session};
use crate::api::{
    State, body,
    docker::{auth, exec::console_size, images::pull},
    dto::config::Config,
    error::ApiError,
    stream::{
        hijack::Hijack,
        progress::{self, Board},
    },
    translate::create::{self, Query, Translated},
    version::ApiVersion,
};

/// The body of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Run {
    name: String,
    platform: Option<String>,
    pull: Pull,
    /// As `X-Registry-Auth` has it.
    auth: Option<String>,
    create: Config,
    /// Instead of `create`, in Hoist's own words.
    spec: Option<ContainerSpec>,
    attach: Attach,
    detach: bool,
    console_size: Option<(u16, u16)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Pull {
    #[default]
    Missing,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Attach {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

/// All that a run needs.
struct Job {
    state: State,
    spec: ContainerSpec,
    warnings: Vec<String>,
    pull: Pull,
    auth: Option<Auth>,
    attach: Attach,
    detach: bool,
    console_size: Option<(u16, u16)>,
}

pub async fn run(With(state): With<State>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let hijack = Hijack::from_parts(parts.extensions.remove::<OnUpgrade>(), &parts.headers);
    if !hijack.is_upgrade() {
        return Err(ApiError::bad_request("this request must ask for an upgrade to hoist-frames"));
    }
    let bytes = axum::body::to_bytes(body, 16 << 20)
        .await
        .map_err(|err| ApiError::bad_request(format!("the request's body could not be read: {err}")))?;
    let run: Run = body::parse(&bytes)?;
    let query =
        Query { name: Some(run.name.as_str()).filter(|name| !name.is_empty()), platform: run.platform.as_deref() };
    let Translated { spec, warnings } = match run.spec {
        Some(spec) => Translated { spec, warnings: Vec::new() },
        None => create::container(query, run.create, ApiVersion::NEWEST)?,
    };
    let job = Job {
        auth: run.auth.as_deref().map(auth::decode).transpose()?.flatten(),
        pull: run.pull,
        attach: run.attach,
        detach: run.detach,
        console_size: run.console_size,
        state: state.clone(),
        spec,
        warnings,
    };
    // Most images are here already: then what fails is a plain answer, and the stream begins with the container made.
    let made = match job.pull {
        Pull::Always => None,
        Pull::Missing | Pull::Never => match state.engine.create_to_start(job.spec.clone()).await {
            Ok(made) => Some(made),
            Err(EngineError::Image(hoist_image::Error::NotFound(_))) if job.pull == Pull::Missing => None,
            Err(err) => return Err(err.into()),
        },
    };
    let stop = state.stop.clone();
    Ok(hijack.answer(session::CONTENT_TYPE, &state.tasks, move |taken| async move {
        tokio::select! {
            () = job.run(Session::new(taken), made) => {}
            () = stop.cancelled() => {}
        }
    }))
}

impl Job {
    async fn run(self, mut session: Session, made: Option<Created>) {
        let made = match made {
            Some(made) => made,
            None => match self.fetch_and_create(&mut session).await {
                Ok(made) => made,
                Err(Some(event)) => return session.end(&event).await,
                Err(None) => return,
            },
        };
        let id = made.id.to_string();
        let warnings = self.warnings.iter().cloned().chain(made.warnings).collect();
        // A client that is gone before the start wanted the container all the same.
        let _ = session.tell(&Event::Created { id: id.clone(), warnings }).await;
        let last = self.start_and_wait(&mut session, &id).await;
        if let Ok(last) = last {
            session.end(&last).await;
        }
    }

    /// Pulls the image while telling about it, and makes the container.
    async fn fetch_and_create(&self, session: &mut Session) -> Result<Created, Option<Event>> {
        let board = Arc::new(Board::default());
        let policy = if self.pull == Pull::Always { PullPolicy::Always } else { PullPolicy::Missing };
        let platform = self.spec.platform.as_deref();
        let mut pulling =
            Box::pin(pull::pull_for(&self.state, &self.spec.image, platform, self.auth.clone(), policy, board.clone()));
        let result = loop {
            tokio::select! {
                biased;
                result = &mut pulling => break result,
                events = board.news() => {
                    for event in events {
                        // A client that goes away ends its pull.
                        session.tell(&Event::Pull(progress::line(event))).await.map_err(|Gone| None)?;
                    }
                }
            }
        };
        result.map_err(|err| Some(Event::refused(&err)))?;
        self.state.engine.create_to_start(self.spec.clone()).await.map_err(|err| Some(Event::failed(err)))
    }

    async fn start_and_wait(&self, session: &mut Session, id: &str) -> Result<Event, Gone> {
        let engine = &self.state.engine;
        let options =
            AttachOptions { stdin: self.attach.stdin, stdout: self.attach.stdout, stderr: self.attach.stderr };
        let attached = if self.detach {
            None
        } else {
            match engine.attach(id, options).await {
                Ok(attached) => Some(attached),
                Err(err) => return Ok(self.undo(id, err).await),
            }
        };
        let condition = if self.spec.auto_remove { WaitCondition::Removed } else { WaitCondition::NextExit };
        let mut waiting = Box::pin(engine.wait(id, condition));
        // The wait is under way before the container can end.
        let early = futures_util::poll!(&mut waiting);
        if let Err(err) = engine.start(id).await {
            return Ok(self.undo(id, err).await);
        }
        if let Some(size) = console_size(self.console_size).filter(|_| self.spec.tty) {
            let _ = engine.resize(id, size).await;
        }
        let Some(attached) = attached else { return Ok(Event::Started) };
        session.tell(&Event::Started).await?;
        let exit = async move {
            match early {
                std::task::Poll::Ready(result) => result,
                std::task::Poll::Pending => waiting.await,
            }
        };
        let carried = session.carry(attached, exit, |order| obey(engine, id, order)).await;
        carried.map(ended).inspect_err(|Gone| engine.detached(id))
    }

    /// A container that was to go when it ends goes when it cannot begin.
    async fn undo(&self, id: &str, error: EngineError) -> Event {
        if self.spec.auto_remove {
            let _ = self.state.engine.remove(id, RemoveOptions { force: true, volumes: true }).await;
        }
        Event::failed(error)
    }
}

fn ended(result: hoist_engine::Result<WaitResult>) -> Event {
    match result {
        Ok(result) => Event::Exit { code: result.exit_code },
        Err(err) => Event::failed(err),
    }
}

async fn obey(engine: &Engine, id: &str, order: Order) {
    let done = match &order {
        Order::Resize(rows, columns) => engine.resize(id, Order::size(*rows, *columns)).await,
        Order::Signal(signal) => engine.kill(id, Some(signal)).await,
    };
    if let Err(err) = done {
        // It ended meanwhile.
        tracing::debug!(container = id, ?order, "{}", err.message());
    }
}
