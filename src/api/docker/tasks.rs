//! `/tasks`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State as With},
};
use hoist_proto::{
    id::ServiceId,
    spec::{Service, Task, TaskState},
};

use crate::api::{
    State,
    docker::swarm,
    dto::task as dto,
    error::ApiError,
    params::{Filters, Params},
    translate::task,
};

const FILTERS: [&str; 9] =
    ["_up-to-date", "desired-state", "id", "label", "label!", "name", "node", "runtime", "service"];

pub async fn list(With(state): With<State>, params: Params) -> Result<Json<Vec<dto::Task>>, ApiError> {
    let control = swarm::manager(&state)?;
    let filters = params.filters()?.only(&FILTERS)?;
    let known = ["running", "shutdown", "accepted"];
    if let Some(bad) = filters.get("desired-state").iter().find(|wanted| !known.contains(&wanted.as_str())) {
        return Err(ApiError::bad_request(format!(
            "invalid task filter desired-state={bad}: expected running, shutdown or accepted"
        )));
    }
    let up_to_date = filters.flag("_up-to-date")?;
    let services: Vec<ServiceId> = filters
        .get("service")
        .iter()
        .map(|name| control.service(name).map(|service| service.id.clone()))
        .collect::<Result<_, _>>()?;
    let nodes = filters.get("node").iter().map(|name| control.node_id(name)).collect::<Result<Vec<_>, _>>()?;
    let all = if services.is_empty() {
        control.tasks()
    } else {
        services.iter().flat_map(|service| control.tasks_of(service)).collect()
    };
    let known: BTreeMap<ServiceId, Arc<Service>> =
        control.services().into_iter().map(|service| (service.id.clone(), service)).collect();
    let fits = |task: &Arc<Task>| {
        let service = known.get(&task.service);
        let current = service.is_some_and(|service| service.spec_hash == task.spec_hash);
        (nodes.is_empty() || task.node.as_ref().is_some_and(|node| nodes.contains(node)))
            && up_to_date.is_none_or(|wanted| wanted == current)
            && fits(task, service.map(|service| &**service), &filters)
    };
    let shown = all
        .iter()
        .filter(|task| fits(task))
        .map(|task| task::task(task, known.get(&task.service).is_some_and(|service| service.spec.mode.is_job())));
    Ok(Json(shown.collect()))
}

fn fits(task: &Task, service: Option<&Service>, filters: &Filters) -> bool {
    let none = BTreeMap::new();
    let labels = service.map_or(&none, |service| &service.spec.labels);
    let desired = |wanted: &String| match wanted.as_str() {
        "running" => task.desired <= TaskState::Running,
        "accepted" => task.desired == TaskState::Accepted,
        _ => task.desired > TaskState::Running,
    };
    let name = || {
        let place = if task.slot == 0 {
            task.node.as_ref().map(ToString::to_string).unwrap_or_default()
        } else {
            task.slot.to_string()
        };
        format!("{}.{place}.{}", task.service_name, task.id)
    };
    filters.any("desired-state", desired)
        && filters.any("id", |value| task.id.as_str().starts_with(value.as_str()))
        && filters.any("name", |value| name().starts_with(value.as_str()))
        && filters.any("runtime", |value| value == "container")
        && filters.labels(labels)
}

pub async fn inspect(With(state): With<State>, Path(id): Path<String>) -> Result<Json<dto::Task>, ApiError> {
    swarm::required(&state)?;
    let task = state.control()?.task(&id)?;
    let job = state.control()?.service(task.service.as_str()).is_ok_and(|service| service.spec.mode.is_job());
    Ok(Json(task::task(&task, job)))
}
