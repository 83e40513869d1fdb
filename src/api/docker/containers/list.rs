//! `GET /containers/json`.

use axum::{Json, extract::State as With};
use hoist_engine::{Container, ListOptions, Status};
use hoist_proto::clock::Timestamp;
use regex::Regex;

use crate::api::{
    State,
    dto::container::Summary,
    error::ApiError,
    params::{Filters, Params},
    translate::inspect,
    version::ApiVersion,
};

const FILTERS: [&str; 18] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "label!",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
    "annotation",
    "annotation!",
];
const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

pub async fn list(
    With(state): With<State>,
    version: ApiVersion,
    params: Params,
) -> Result<Json<Vec<Summary>>, ApiError> {
    let filters = params.filters()?.only(&FILTERS)?;
    let limit: Option<i64> = params.number("limit")?;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    // Asking for a state, an exit code or so many implies those that do not run.
    let all = params.flag("all")
        || limit.is_some()
        || filters.has("status")
        || filters.has("exited")
        || filters.has("before")
        || filters.has("since");
    let condition = Condition::read(&state, filters).await?;
    let containers = state.engine.list(ListOptions { all, labels: condition.filters.get("label").to_vec() }).await?;
    let now = state.now();
    let chosen = containers.iter().filter(|one| condition.fits(one)).take(limit.unwrap_or(usize::MAX));
    let mut lines = Vec::new();
    for container in chosen {
        lines.push(if params.flag("size") {
            sized_summary(&state, container, version).await
        } else {
            inspect::summary(container, now, version)
        });
    }
    Ok(Json(lines))
}

/// A line with the sizes of the container's files, where they can be read.
pub async fn sized_summary(state: &State, container: &Container, version: ApiVersion) -> Summary {
    let mut line = inspect::summary(container, state.now(), version);
    if let Ok((own, all)) = state.engine.size(container.id.as_str()).await {
        line.size_rw = i64::try_from(own).ok();
        line.size_root_fs = i64::try_from(all).ok();
    }
    line
}

/// The filters, with what has to be looked up first.
struct Condition {
    filters: Filters,
    names: Vec<Regex>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    /// Ids of the images that `ancestor` names.
    ancestors: Vec<String>,
    ports: Vec<(&'static str, String)>,
}

impl Condition {
    async fn read(state: &State, filters: Filters) -> Result<Self, ApiError> {
        if let Some(bad) = filters.get("status").iter().find(|value| !STATES.contains(&value.as_str())) {
            return Err(ApiError::bad_request(format!("invalid filter 'status={bad}'")));
        }
        let known = ["starting", "healthy", "unhealthy", "none"];
        if let Some(bad) = filters.get("health").iter().find(|value| !known.contains(&value.as_str())) {
            return Err(ApiError::bad_request(format!("invalid filter 'health={bad}'")));
        }
        if let Some(bad) = filters.get("exited").iter().find(|value| value.parse::<i32>().is_err()) {
            return Err(ApiError::bad_request(format!("invalid filter 'exited={bad}'")));
        }
        let names = filters
            .get("name")
            .iter()
            .map(|name| {
                Regex::new(name).map_err(|err| ApiError::bad_request(format!("invalid filter 'name={name}': {err}")))
            })
            .collect::<Result<_, _>>()?;
        let mut moments = [None, None];
        for (moment, key) in moments.iter_mut().zip(["before", "since"]) {
            if let Some(name) = filters.get(key).first() {
                *moment = Some(state.engine.inspect(name).await?.created);
            }
        }
        let mut ancestors = Vec::new();
        for name in filters.get("ancestor") {
            // An image that is not here has no containers.
            ancestors.extend(state.engine.images().get(name).await.ok().map(|image| image.id.to_string()));
        }
        let ports = ["publish", "expose"]
            .into_iter()
            .flat_map(|kind| filters.get(kind).iter().map(move |port| (kind, port.clone())))
            .collect();
        let [before, since] = moments;
        Ok(Self { filters, names, before, since, ancestors, ports })
    }

    fn fits(&self, one: &Container) -> bool {
        let filters = &self.filters;
        let state = &one.state;
        let health = state.health.as_ref().map_or("none", |health| health.status.as_str());
        let exited = matches!(state.status, Status::Exited | Status::Dead);
        let networks = || inspect::networks(one, ApiVersion::NEWEST);
        filters.any("id", |id| one.id.as_str().starts_with(id.as_str()))
            && (self.names.is_empty()
                || self.names.iter().any(|name| name.is_match(&one.name) || name.is_match(&format!("/{}", one.name))))
            && filters.any("status", |status| status == state.status.as_str())
            && filters.any("health", |wanted| wanted == health)
            && filters
                .any("exited", |code| exited && code.parse::<i32>().is_ok_and(|code| state.exit_code == Some(code)))
            && self.before.is_none_or(|before| one.created < before)
            && self.since.is_none_or(|since| one.created > since)
            && filters.any("ancestor", |name| self.ancestors.contains(&one.image_id) || one.spec.image == *name)
            && filters.labels(&one.effective.labels)
            && filters.any("network", |wanted| {
                networks().iter().any(|(name, end)| {
                    name == wanted || (!end.network_id.is_empty() && end.network_id.starts_with(wanted.as_str()))
                })
            })
            && filters.any("volume", |wanted| {
                one.mounts.iter().any(|mount| {
                    mount.target == *wanted || mount.name.as_ref() == Some(wanted) || mount.source == *wanted
                })
            })
            && filters.any("isolation", |value| value == "default")
            && filters.any("is-task", |value| {
                let task = one.effective.labels.contains_key("hoist.task.id");
                matches!(value.as_str(), "true" | "1") == task
            })
            && self.annotations(one)
            && self.ports(one)
    }

    fn annotations(&self, one: &Container) -> bool {
        let holds = |filter: &String| match filter.split_once('=') {
            Some((key, value)) => one.spec.annotations.get(key).is_some_and(|have| have == value),
            None => one.spec.annotations.contains_key(filter.as_str()),
        };
        self.filters.get("annotation").iter().all(holds) && !self.filters.get("annotation!").iter().any(holds)
    }

    /// `publish` and `expose`: a port or range with an optional protocol.
    fn ports(&self, one: &Container) -> bool {
        let all = inspect::ports(one);
        ["publish", "expose"].into_iter().all(|kind| {
            let mut wanted = self.ports.iter().filter(|(of, _)| *of == kind).map(|(_, port)| port).peekable();
            wanted.peek().is_none()
                || wanted.any(|wanted| {
                    let (range, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
                    let (first, last) = range.split_once('-').unwrap_or((range, range));
                    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { return false };
                    all.iter().any(|(key, bindings)| {
                        let Some((port, of)) = key.split_once('/') else { return false };
                        of == protocol
                            && port.parse().is_ok_and(|port: u16| (first..=last).contains(&port))
                            && (kind == "expose" || bindings.is_some())
                    })
                })
        })
    }
}
