//! Whether what a service depends on has come far enough.

use std::collections::BTreeMap;

use hoist_proto::spec::{Dependency, DependencyCondition, Health, Lifecycle, Service, ServiceMode, Task, TaskState};
use hoist_store::Tables;

use super::restart::{Verdict, verdict};

/// What a dependency is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    Met,
    /// Not yet; what is missing.
    Waiting(String),
    /// Never, unless somebody does something; why.
    Failed(String),
}

/// The tasks that count: of each slot the newest one.
fn current<'a>(tables: &'a Tables, service: &Service) -> Vec<&'a Task> {
    let mut newest: BTreeMap<(u32, Option<&str>), &Task> = BTreeMap::new();
    for task in tables.tasks_of(&service.id) {
        let key = (task.slot, (task.slot == 0).then(|| task.node.as_ref().map_or("", |n| n.as_str())));
        let slot = newest.entry(key).or_insert(task);
        if (task.desired <= TaskState::Running, task.meta.created, task.meta.version)
            > (slot.desired <= TaskState::Running, slot.meta.created, slot.meta.version)
        {
            *slot = task;
        }
    }
    newest.into_values().collect()
}

fn wanted(mode: ServiceMode) -> usize {
    match mode {
        ServiceMode::Replicated { replicas } => replicas as usize,
        ServiceMode::ReplicatedJob { total_completions, .. } => total_completions as usize,
        ServiceMode::Global | ServiceMode::GlobalJob => 1,
    }
}

/// Whether `dependency` holds, as a service that has it may start.
pub(crate) fn dependency_state(tables: &Tables, dependency: &Dependency) -> Condition {
    let condition = required_state(tables, dependency);
    match condition {
        // What is not required is waited for as long as it may come, and no longer.
        Condition::Failed(_) if !dependency.required => Condition::Met,
        other => other,
    }
}

fn required_state(tables: &Tables, dependency: &Dependency) -> Condition {
    let Some(service) = tables.services().named(&dependency.service) else {
        return Condition::Failed(format!("dependency {} does not exist", dependency.service));
    };
    let name = short_name(service);
    if service.spec.lifecycle != Lifecycle::Running {
        return Condition::Waiting(format!("{name} is not to run"));
    }
    let tasks = current(tables, service);
    if tasks.len() < wanted(service.spec.mode) {
        return Condition::Waiting(format!("{name} is being created"));
    }
    for task in tasks {
        // A task of an older definition is about to be replaced.
        if task.spec_hash != service.spec_hash {
            return Condition::Waiting(format!("{name} is being recreated"));
        }
        let one = task_state(service, task, dependency.condition, name);
        if one != Condition::Met {
            return one;
        }
    }
    Condition::Met
}

fn task_state(service: &Service, task: &Task, condition: DependencyCondition, name: &str) -> Condition {
    let status = &task.status;
    let container = &task.name;
    let fails_for_good = status.state.is_final() && verdict(service, task) == Verdict::Leave;
    let cause = || status.error.clone().unwrap_or_else(|| status.message.clone());
    match condition {
        DependencyCondition::ServiceStarted => match status.state {
            TaskState::Running | TaskState::Complete => Condition::Met,
            TaskState::Rejected if fails_for_good => {
                Condition::Failed(format!("container {container} could not be started: {}", cause()))
            }
            // It has been started, which is all that was asked.
            TaskState::Failed if status.exit_code.is_some() => Condition::Met,
            TaskState::Failed if fails_for_good => Condition::Failed(format!("container {container}: {}", cause())),
            _ => Condition::Waiting(format!("{name} is not started yet")),
        },
        DependencyCondition::ServiceHealthy => match (status.state, status.health) {
            (TaskState::Running, Health::Healthy) => Condition::Met,
            (TaskState::Running, Health::None) => {
                Condition::Failed(format!("container {container} has no healthcheck configured"))
            }
            (TaskState::Failed, Health::Unhealthy) => {
                Condition::Waiting(format!("{name} is unhealthy and being replaced"))
            }
            _ if fails_for_good => match status.exit_code {
                Some(code) => Condition::Failed(format!("container {container} exited ({code})")),
                None => Condition::Failed(format!("container {container}: {}", cause())),
            },
            _ => Condition::Waiting(format!("{name} is not healthy yet")),
        },
        DependencyCondition::ServiceCompletedSuccessfully => match status.state {
            TaskState::Complete => Condition::Met,
            _ if fails_for_good => Condition::Failed(match status.exit_code {
                Some(code) => {
                    format!("service {name:?} did not complete successfully: exit {code}")
                }
                None => format!("container {container}: {}", cause()),
            }),
            _ => Condition::Waiting(format!("{name} has not completed yet")),
        },
    }
}

/// The service as its own file calls it.
pub(crate) fn short_name(service: &Service) -> &str {
    service.spec.compose.as_ref().map_or(&service.spec.name, |origin| &origin.service)
}

/// Whether all that the service waits for holds.
pub(crate) fn may_start(tables: &Tables, service: &Service) -> bool {
    waited_for(service).all(|dependency| dependency_state(tables, dependency) == Condition::Met)
}

/// What the service waits for: all that it depends on, or its own preparation only.
pub(crate) fn waited_for(service: &Service) -> impl Iterator<Item = &Dependency> {
    service.spec.depends_on.iter().filter(|dependency| dependency.own || !service.spec.start_alone)
}

/// What dependencies with `restart: true` were when a task is started now.
pub(crate) fn started_with(tables: &Tables, service: &Service) -> BTreeMap<String, String> {
    service
        .spec
        .depends_on
        .iter()
        .filter(|dependency| dependency.restart)
        .filter_map(|dependency| tables.services().named(&dependency.service))
        .map(|other| (other.spec.name.clone(), other.spec_hash.clone()))
        .collect()
}

/// A dependency with `restart: true` that has been updated since the task was started.
pub(crate) fn updated_dependency<'a>(tables: &'a Tables, service: &Service, task: &Task) -> Option<&'a Service> {
    if task.started_with.is_empty() {
        return None;
    }
    service.spec.depends_on.iter().filter(|dependency| dependency.restart).find_map(|dependency| {
        let other = tables.services().named(&dependency.service)?;
        let then = task.started_with.get(&other.spec.name)?;
        (*then != other.spec_hash).then_some(&**other)
    })
}

/// Whether a service that is to stop must wait for others that depend on it and are to stop as well.
pub(crate) fn stops_after_others(tables: &Tables, service: &Service) -> bool {
    tables.services().iter().any(|other| {
        other.id != service.id
            && matches!(other.spec.lifecycle, Lifecycle::Stopped | Lifecycle::Removed)
            && other.spec.depends_on.iter().any(|dependency| dependency.service == service.spec.name)
            && tables
                .tasks_of(&other.id)
                .any(|task| !task.status.state.is_final() && task.status.state >= TaskState::Assigned)
    })
}
