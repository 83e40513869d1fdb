//! `GET /services` and `GET /services/{id}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State as With},
};
use hoist_proto::spec::{Service, ServiceMode, Task, TaskState};

use crate::api::{
    State,
    docker::swarm,
    dto::service as dto,
    error::ApiError,
    params::{Filters, Params},
    translate::{service_back, time},
};

pub async fn list(With(state): With<State>, params: Params) -> Result<Json<Vec<dto::Service>>, ApiError> {
    let control = swarm::manager(&state)?;
    let filters = params.filters()?.only(&["id", "label", "label!", "mode", "name", "runtime"])?;
    if let Some(bad) = filters.get("mode").iter().find(|mode| !MODES.contains(&mode.as_str())) {
        return Err(ApiError::bad_request(format!("unsupported mode filter: {bad}")));
    }
    let with_status = params.flag("status");
    let mut found: Vec<_> = control.services();
    found.retain(|service| fits(service, &filters));
    let shown = found.iter().map(|service| {
        let mut shown = service_back::service(service);
        let tasks = control.tasks_of(&service.id);
        shown.service_status = with_status.then(|| status(service, &tasks));
        shown.job_status = job_status(service, &tasks);
        shown
    });
    Ok(Json(shown.collect()))
}

pub async fn inspect(With(state): With<State>, Path(id): Path<String>) -> Result<Json<dto::Service>, ApiError> {
    let control = swarm::manager(&state)?;
    let service = control.service(&id)?;
    let mut shown = service_back::service(&service);
    shown.job_status = job_status(&service, &control.tasks_of(&service.id));
    Ok(Json(shown))
}

const MODES: [&str; 4] = ["replicated", "global", "replicated-job", "global-job"];

fn mode_name(mode: ServiceMode) -> &'static str {
    match mode {
        ServiceMode::Replicated { .. } => "replicated",
        ServiceMode::Global => "global",
        ServiceMode::ReplicatedJob { .. } => "replicated-job",
        ServiceMode::GlobalJob => "global-job",
    }
}

fn fits(service: &Service, filters: &Filters) -> bool {
    filters.any("id", |value| service.id.as_str().starts_with(value.as_str()))
        && filters.any("name", |value| service.spec.name.starts_with(value.as_str()))
        && filters.any("mode", |value| value == mode_name(service.spec.mode))
        && filters.any("runtime", |value| value == "container")
        && filters.labels(&service.spec.labels)
}

/// How many tasks run, and how many should.
pub fn status(service: &Service, tasks: &[Arc<Task>]) -> dto::ServiceStatus {
    let current = || tasks.iter().filter(|task| task.spec_hash == service.spec_hash);
    let job = service.spec.mode.is_job();
    let counted = |task: &&Arc<Task>| !job || task.spec_hash == service.spec_hash;
    let running = tasks
        .iter()
        .filter(counted)
        .filter(|task| task.status.state == TaskState::Running && task.desired == TaskState::Running)
        .count();
    let desired = match service.spec.mode {
        ServiceMode::Replicated { replicas } => replicas as usize,
        ServiceMode::ReplicatedJob { total_completions, max_concurrent } => {
            let left = total_completions.saturating_sub(completed(current()) as u32);
            if max_concurrent == 0 { left } else { left.min(max_concurrent) }.max(running as u32) as usize
        }
        // One for each node that suits has been made; those that end are not wanted twice.
        ServiceMode::Global => tasks.iter().filter(|task| task.desired <= TaskState::Running).count(),
        ServiceMode::GlobalJob => {
            current().filter(|task| task.desired <= TaskState::Running && !task.status.state.is_final()).count()
        }
    };
    dto::ServiceStatus {
        running_tasks: running as u64,
        desired_tasks: desired as u64,
        completed_tasks: completed(current()) as u64,
    }
}

fn completed<'a>(tasks: impl Iterator<Item = &'a Arc<Task>>) -> usize {
    tasks.filter(|task| task.status.state == TaskState::Complete).count()
}

fn job_status(service: &Service, tasks: &[Arc<Task>]) -> Option<dto::JobStatus> {
    if !service.spec.mode.is_job() {
        return None;
    }
    let newest = tasks.iter().filter(|task| task.spec_hash == service.spec_hash).map(|task| task.meta.created).max();
    Some(dto::JobStatus {
        job_iteration: dto::Version { index: service.spec.task.force_update },
        last_execution: time::moment(newest.or(Some(service.meta.created))),
    })
}
