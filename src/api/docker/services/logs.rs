//! `GET /services/{id}/logs` and `GET /tasks/{id}/logs`: what containers of tasks wrote.

use std::{collections::BTreeSet, io, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, State as With},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use futures_util::{
    StreamExt,
    stream::{self as streams, BoxStream, SelectAll},
};
use hoist_engine::{LogEntry, LogOptions, StreamKind};
use hoist_manager::control::Control;
use hoist_proto::{
    id::{ServiceId, TaskId},
    spec::{ProjectEvent, Task},
};

use super::elsewhere;
use crate::api::{
    State,
    docker::{
        containers::logs::{Form, tail},
        swarm,
    },
    error::ApiError,
    params::Params,
    stream,
    version::ApiVersion,
};

/// Whose logs.
#[derive(Debug, Clone)]
enum Of {
    Service(ServiceId),
    Task(TaskId),
}

pub async fn of_service(
    With(state): With<State>,
    Path(id): Path<String>,
    version: ApiVersion,
    params: Params,
) -> Result<Response, ApiError> {
    swarm::required(&state)?;
    let service = state.control()?.service(&id)?;
    let tty = service.spec.task.container.tty;
    logs(state, Of::Service(service.id.clone()), tty, version, &params)
}

pub async fn of_task(
    With(state): With<State>,
    Path(id): Path<String>,
    version: ApiVersion,
    params: Params,
) -> Result<Response, ApiError> {
    swarm::required(&state)?;
    let task = state.control()?.task(&id)?;
    logs(state, Of::Task(task.id.clone()), task.spec.container.tty, version, &params)
}

fn logs(state: State, of: Of, tty: bool, version: ApiVersion, params: &Params) -> Result<Response, ApiError> {
    let now = state.now();
    let options = LogOptions {
        stdout: params.flag("stdout"),
        stderr: params.flag("stderr"),
        follow: params.flag("follow"),
        since: params.moment("since", now)?,
        until: None,
        tail: tail(params)?,
    };
    if !options.stdout && !options.stderr {
        return Err(ApiError::bad_request("Bad parameters: you must choose at least one stream"));
    }
    let asked = Asked { of, options, timestamps: params.flag("timestamps"), details: params.flag("details") };
    let follow = asked.options.follow;
    let control = state.control()?;
    let body = async_stream::stream! {
        // Listens before it looks, so that no task falls between.
        let mut events = control.events();
        let mut known = BTreeSet::new();
        let mut sources = Vec::new();
        for task in asked.tasks(&control) {
            if let Some(source) = asked.open(&state, &task, &mut known).await {
                sources.push(source);
            }
        }
        if !follow {
            let mut lines = Merged::new(sources).await;
            while let Some((form, line)) = lines.next().await {
                yield put(&form, line, tty);
            }
            return;
        }
        let mut all: SelectAll<_> = sources.into_iter().map(|source| source.lines()).collect();
        loop {
            tokio::select! {
                Some((form, line)) = all.next(), if !all.is_empty() => yield put(&form, line, tty),
                event = events.next() => match event {
                    Some(ProjectEvent::Task { task, .. }) => {
                        let task = control.task(&task).ok().filter(|task| asked.wants(task));
                        if let Some(task) = task
                            && let Some(source) = asked.open(&state, &task, &mut known).await
                        {
                            all.push(source.lines());
                        }
                    }
                    Some(_) => {}
                    None => return,
                },
                () = state.stop.cancelled() => return,
            }
        }
    };
    Ok(([(header::CONTENT_TYPE, stream::content_type(tty, version))], Body::from_stream(body)).into_response())
}

fn put(form: &Form, line: io::Result<LogEntry>, tty: bool) -> io::Result<bytes::Bytes> {
    let entry = line?;
    let mut out = BytesMut::new();
    form.put(&mut out, &entry, tty);
    Ok(out.freeze())
}

/// What was asked for.
struct Asked {
    of: Of,
    options: LogOptions,
    timestamps: bool,
    details: bool,
}

impl Asked {
    fn wants(&self, task: &Task) -> bool {
        match &self.of {
            Of::Service(id) => task.service == *id,
            Of::Task(id) => task.id == *id,
        }
    }

    fn tasks(&self, control: &Control) -> Vec<Arc<Task>> {
        let mut tasks = match &self.of {
            Of::Service(id) => control.tasks_of(id),
            Of::Task(id) => control.task(id.as_str()).into_iter().map(Arc::new).collect(),
        };
        tasks.sort_by_key(|task| task.meta.created);
        tasks
    }

    /// The log of a task's container, unless it is open already or there is none.
    async fn open(&self, state: &State, task: &Task, known: &mut BTreeSet<TaskId>) -> Option<Source> {
        let container = task.status.container_id.as_ref().filter(|_| !known.contains(&task.id))?;
        let lines = match (state.engine.logs(container, self.options.clone()).await, &task.node) {
            (Ok(lines), _) => lines.map(|line| line.map_err(io::Error::other)).boxed(),
            (Err(_), None) => return None,
            (Err(_), Some(node)) => {
                let tty = task.spec.container.tty;
                let there = elsewhere::lines(state, node, container, &self.options, tty).await;
                there.unwrap_or_else(|error| streams::iter([Ok(unread(state, task, &error))]).boxed())
            }
        };
        known.insert(task.id.clone());
        let details = self.details.then(|| {
            let node = task.node.as_ref().map(ToString::to_string).unwrap_or_default();
            format!(
                "com.docker.swarm.node.id={node},com.docker.swarm.service.id={},com.docker.swarm.task.id={}",
                task.service, task.id
            )
        });
        Some(Source { form: Arc::new(Form { timestamps: self.timestamps, details }), lines })
    }
}

/// Says among the lines that those of a task are missing.
fn unread(state: &State, task: &Task, error: &ApiError) -> LogEntry {
    let text = format!("hoist: what {}.{} wrote cannot be read: {}\n", task.service_name, task.slot, error.message);
    LogEntry { time: state.now(), stream: StreamKind::Stderr, line: text.into() }
}

/// One container's log, and how its lines are written.
struct Source {
    form: Arc<Form>,
    lines: BoxStream<'static, io::Result<LogEntry>>,
}

type Line = (Arc<Form>, io::Result<LogEntry>);

impl Source {
    fn lines(self) -> impl futures_util::Stream<Item = Line> + Send + Unpin {
        let form = self.form;
        self.lines.map(move |line| (form.clone(), line))
    }
}

/// Logs that have an end, merged by time.
struct Merged {
    sources: Vec<(Source, Option<io::Result<LogEntry>>)>,
}

impl Merged {
    async fn new(all: Vec<Source>) -> Self {
        let mut sources = Vec::new();
        for mut source in all {
            let first = StreamExt::next(&mut source.lines).await;
            sources.push((source, first));
        }
        Self { sources }
    }

    async fn next(&mut self) -> Option<Line> {
        let time =
            |line: &Option<io::Result<LogEntry>>| line.as_ref().and_then(|line| line.as_ref().ok()).map(|l| l.time);
        let ready = self.sources.iter_mut().filter(|(_, line)| line.is_some());
        let (source, line) = ready.min_by_key(|(_, line)| time(line))?;
        let taken = line.take()?;
        *line = StreamExt::next(&mut source.lines).await;
        Some((source.form.clone(), taken))
    }
}
