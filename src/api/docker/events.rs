//! `GET /events`.

use axum::{
    body::Body,
    extract::State as With,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hoist_engine::Event;

use crate::api::{
    State,
    dto::system as dto,
    error::ApiError,
    params::{Filters, Params, moment},
    version::ApiVersion,
};

const FILTERS: [&str; 16] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "label!",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "task",
    "type",
    "volume",
];

pub async fn events(
    With(state): With<State>,
    version: ApiVersion,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let now = state.now();
    // Unlike for logs, zero is a moment: the epoch.
    let at = |name: &str| params.text(name).map(|text| moment(text, name, now)).transpose();
    let (since, until) = (at("since")?, at("until")?);
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        return Err(ApiError::bad_request("`since` time cannot be after `until` time"));
    }
    let filters = params.filters()?.only(&FILTERS)?;
    let past_only = until.is_some_and(|until| until <= now);
    let left = until.and_then(|until| std::time::Duration::try_from(until.duration_since(now)).ok());
    let mut events = state.engine.events().subscribe(since);
    let form = Form::negotiate(&headers, version);
    let lines = async_stream::stream! {
        // The head goes out at once, so that a client knows that it listens.
        yield Ok::<_, std::convert::Infallible>(Bytes::new());
        while let Some(event) = events.next_past() {
            if until.is_none_or(|until| event.time <= until) && fits(&event, &filters) {
                yield Ok(form.line(&event, version));
            }
        }
        if past_only {
            return;
        }
        let mut end = std::pin::pin!(async move {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        });
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut end => None,
            };
            let Some(event) = event else { return };
            if fits(&event, &filters) {
                yield Ok(form.line(&event, version));
            }
        }
    };
    Ok(([(header::CONTENT_TYPE, form.content_type())], Body::from_stream(lines)).into_response())
}

/// How lines are set apart.
#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Lines(&'static str),
    /// RFC 7464.
    Sequence,
}

impl Form {
    fn negotiate(headers: &HeaderMap, version: ApiVersion) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let accepts = |kind: &str| accept.split(',').any(|part| part.split(';').next().unwrap_or("").trim() == kind);
        if version >= ApiVersion(1, 52) && accepts("application/json-seq") {
            Self::Sequence
        } else if version >= ApiVersion(1, 53) && accepts("application/jsonl") {
            Self::Lines("application/jsonl")
        } else if version >= ApiVersion(1, 52) && accepts("application/x-ndjson") {
            Self::Lines("application/x-ndjson")
        } else {
            Self::Json
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines(kind) => kind,
            Self::Sequence => "application/json-seq",
        }
    }

    fn line(self, event: &Event, version: ApiVersion) -> Bytes {
        let mut line = Vec::with_capacity(512);
        if matches!(self, Self::Sequence) {
            line.push(0x1e);
        }
        serde_json::to_writer(&mut line, &message(event, version))
            .expect("writing to memory does not fail, and all keys are texts");
        line.push(b'\n');
        line.into()
    }
}

fn message(event: &Event, version: ApiVersion) -> dto::Event {
    let old = version < ApiVersion(1, 52) && matches!(event.kind, "container" | "image");
    dto::Event {
        status: old.then(|| event.action.clone()),
        id: old.then(|| event.actor.id.clone()),
        from: old.then(|| event.actor.attributes.get("image").cloned()).flatten(),
        kind: event.kind.to_owned(),
        action: event.action.clone(),
        actor: dto::Actor { id: event.actor.id.clone(), attributes: event.actor.attributes.clone() },
        scope: scope(event).to_owned(),
        time: event.time.as_second(),
        time_nano: i64::try_from(event.time.as_nanosecond()).unwrap_or(i64::MAX),
    }
}

/// Whether it happened to something of this machine or of the whole cluster.
fn scope(event: &Event) -> &'static str {
    let overlay = event.kind == "network" && event.actor.attributes.get("type").is_some_and(|kind| kind == "overlay");
    match event.kind {
        "config" | "node" | "secret" | "service" => "swarm",
        // Whoever joins one is here.
        "network" if overlay && matches!(event.action.as_str(), "create" | "update" | "remove") => "swarm",
        _ => "local",
    }
}

fn fits(event: &Event, filters: &Filters) -> bool {
    let actor = &event.actor;
    let name = actor.attributes.get("name");
    let named = |value: &String| {
        !value.is_empty()
            && (actor.id.starts_with(value.as_str()) || name.is_some_and(|name| name.starts_with(value.as_str())))
    };
    let image = |value: &String| {
        let images = actor.attributes.get("image").into_iter().chain(name).chain([&actor.id]);
        images.into_iter().any(|image| image == value || image.split(':').next() == Some(value))
    };
    // Docker's filters for exec events name the part before the colon.
    let action = |value: &String| *value == event.action || event.action.split(':').next() == Some(value);
    let object = |kind: &str| filters.any(kind, |value| event.kind == kind && named(value));
    filters.any("type", |value| value == event.kind)
        && filters.any("event", action)
        && filters.any("scope", |value| value == scope(event))
        && filters.any("image", |value| matches!(event.kind, "image" | "container") && image(value))
        && filters.labels(&actor.attributes)
        && ["config", "container", "daemon", "network", "node", "plugin", "secret", "service", "task", "volume"]
            .into_iter()
            .all(object)
}
