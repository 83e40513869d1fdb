//! When a request is over.

use std::collections::BTreeSet;

use hoist_proto::{
    id::ServiceId,
    spec::{DependencyCondition, Health, Lifecycle, NodeState, Service, ServiceMode, Task, TaskState, UpdateState},
};
use hoist_store::Tables;

use crate::orchestrator::{self, Condition, Verdict, dependency_state, verdict};

/// How far a request has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What is waited for.
    Pending(String),
    Done,
    Failed(String),
}

/// Whether all services run as they should; with `healthy`, also that they are healthy.
pub(crate) fn all_up(tables: &Tables, services: &[ServiceId], healthy: bool) -> Outcome {
    let mut pending = None;
    for id in services {
        let Some(service) = tables.services().get(id) else {
            return Outcome::Failed("a service was removed meanwhile".into());
        };
        match service_up(tables, services, service, healthy) {
            Outcome::Done => {}
            failed @ Outcome::Failed(_) => return failed,
            waiting @ Outcome::Pending(_) => pending = pending.or(Some(waiting)),
        }
    }
    pending.unwrap_or(Outcome::Done)
}

fn service_up(tables: &Tables, services: &[ServiceId], service: &Service, healthy: bool) -> Outcome {
    let name = service.spec.compose.as_ref().map_or(&service.spec.name, |origin| &origin.service);
    if service.spec.lifecycle == Lifecycle::Removed || service.spec.lifecycle == Lifecycle::Stopped {
        return Outcome::Failed(format!("service {name:?} was stopped meanwhile"));
    }
    if let Some(update) = &service.update
        && matches!(update.state, UpdateState::Paused | UpdateState::RollbackPaused)
    {
        return Outcome::Failed(format!("the update of service {name:?} is paused: {}", update.message));
    }
    let live: Vec<&Task> = tables
        .tasks_of(&service.id)
        .filter(|task| task.desired <= TaskState::Running && task.spec_hash == service.spec_hash)
        .map(|task| &**task)
        .collect();
    // Unless all tasks are of the present definition, some are still being replaced.
    let leaving = tables.tasks_of(&service.id).any(|task| {
        task.desired <= TaskState::Running && task.spec_hash != service.spec_hash
            || task.desired == TaskState::Remove && task.status.state != TaskState::Remove
    });
    let must_be_healthy = healthy || waited_for(tables, services, service);
    let mut pending = leaving.then(|| format!("{name} is being recreated"));
    for task in &live {
        match task_up(tables, service, task, healthy, must_be_healthy) {
            Outcome::Done => {}
            failed @ Outcome::Failed(_) => return failed,
            Outcome::Pending(what) => pending = pending.or(Some(what)),
        }
    }
    let wanted = match service.spec.mode {
        ServiceMode::Replicated { replicas } => replicas as usize,
        // How many nodes suit is the orchestrator's to say: it makes all tasks in one pass.
        ServiceMode::Global | ServiceMode::GlobalJob => 1,
        ServiceMode::ReplicatedJob { max_concurrent, total_completions } => {
            let at_once = if max_concurrent == 0 { total_completions } else { max_concurrent.min(total_completions) };
            at_once as usize
        }
    };
    if live.len() < wanted {
        return Outcome::Pending(format!("{name} is being created"));
    }
    let running = live.iter().filter(|task| !task.status.state.is_final()).count();
    if matches!(service.spec.mode, ServiceMode::Replicated { .. }) && running > wanted {
        return Outcome::Pending(format!("{name} has more containers than are asked for"));
    }
    pending.map_or(Outcome::Done, Outcome::Pending)
}

/// Whether another of the services waits for this one to be healthy.
fn waited_for(tables: &Tables, services: &[ServiceId], service: &Service) -> bool {
    services.iter().filter_map(|id| tables.services().get(id)).any(|other| {
        other.spec.depends_on.iter().any(|dependency| {
            dependency.required
                && dependency.service == service.spec.name
                && dependency.condition == DependencyCondition::ServiceHealthy
        })
    })
}

fn task_up(tables: &Tables, service: &Service, task: &Task, healthy: bool, must_be_healthy: bool) -> Outcome {
    let (status, name) = (&task.status, &task.name);
    let cause = || status.error.clone().unwrap_or_else(|| status.message.clone());
    match status.state {
        TaskState::Running => match status.health {
            Health::Unhealthy if must_be_healthy => Outcome::Failed(format!("container {name}: {}", cause())),
            Health::Starting | Health::Unhealthy if healthy => {
                Outcome::Pending(format!("container {name} is not healthy yet"))
            }
            _ => Outcome::Done,
        },
        TaskState::Complete => Outcome::Done,
        TaskState::Failed if status.health == Health::Unhealthy => {
            if must_be_healthy {
                Outcome::Failed(format!("container {name}: {}", cause()))
            } else {
                Outcome::Pending(format!("container {name} is unhealthy and being replaced"))
            }
        }
        TaskState::Failed if status.exit_code.is_some() && !healthy => Outcome::Done,
        TaskState::Failed => match status.exit_code {
            Some(code) => Outcome::Failed(format!("container {name} exited ({code})")),
            None => Outcome::Failed(format!("container {name}: {}", cause())),
        },
        TaskState::Rejected | TaskState::Orphaned => Outcome::Failed(format!("container {name}: {}", cause())),
        TaskState::Shutdown => match verdict(service, task) {
            // Somebody stopped it by hand.
            Verdict::Leave => Outcome::Done,
            Verdict::Restart { .. } => Outcome::Pending(format!("container {name} is being restarted")),
        },
        TaskState::Ready if service.spec.lifecycle == Lifecycle::Created => Outcome::Done,
        state => {
            if state < TaskState::Assigned
                && let Some(error) = &status.error
                && tables.nodes().iter().any(|node| node.status.state == NodeState::Ready)
            {
                return Outcome::Failed(format!("container {name}: {error}"));
            }
            if task.desired < TaskState::Running && service.spec.lifecycle == Lifecycle::Running {
                return waits(tables, service, name);
            }
            Outcome::Pending(format!("container {name} is {state}"))
        }
    }
}

fn waits(tables: &Tables, service: &Service, name: &str) -> Outcome {
    for dependency in orchestrator::waited_for(service) {
        match dependency_state(tables, dependency) {
            Condition::Met => {}
            Condition::Waiting(what) => return Outcome::Pending(what),
            Condition::Failed(why) => return Outcome::Failed(format!("dependency failed to start: {why}")),
        }
    }
    Outcome::Pending(format!("container {name} is about to start"))
}

/// Whether no task of the services runs any more.
pub(crate) fn all_stopped(tables: &Tables, services: &BTreeSet<ServiceId>) -> Outcome {
    let running = services
        .iter()
        .flat_map(|id| tables.tasks_of(id))
        .find(|task| !task.status.state.is_final() && (task.node.is_some() || task.desired <= TaskState::Running));
    match running {
        Some(task) => match failing(task) {
            Some(why) => Outcome::Failed(why),
            None => Outcome::Pending(format!("container {} is being stopped", task.name)),
        },
        None => Outcome::Done,
    }
}

/// Whether the services are gone.
pub(crate) fn all_gone(tables: &Tables, services: &BTreeSet<ServiceId>) -> Outcome {
    let mut tasks = services.iter().flat_map(|id| tables.tasks_of(id));
    if let Some(why) = tasks.find_map(|task| failing(task)) {
        return Outcome::Failed(why);
    }
    match services.iter().find_map(|id| tables.services().get(id)) {
        Some(service) => Outcome::Pending(format!("service {} is being removed", service.spec.name)),
        None => Outcome::Done,
    }
}

/// Why a container that is to go does not.
fn failing(task: &Task) -> Option<String> {
    let error = task.status.error.as_ref()?;
    is_stuck(task).then(|| format!("container {}: {}: {error}", task.name, task.status.message))
}

/// Whether the agent has said that it cannot end the container. It goes on trying.
pub(crate) fn is_stuck(task: &Task) -> bool {
    task.desired > TaskState::Running && matches!(&*task.status.message, "cannot be stopped" | "cannot be removed")
}
