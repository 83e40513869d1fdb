//! One service: what its tasks should be and are.

use hoist_proto::{
    clock::Timestamp,
    id::TaskId,
    spec::{Availability, Lifecycle, NodeState, Service, ServiceMode, Task, TaskState},
};
use hoist_scheduler::{Constraint, faulty_device};
use hoist_store::Tables;

use super::{Decision, Step, dependency, job, reaper, slot, update};

/// What a pass works with.
pub(crate) struct Context<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) now: Timestamp,
    pub(crate) new_id: &'a mut dyn FnMut() -> TaskId,
    pub(crate) decision: Decision,
}

/// Decides what to do about one service.
pub(crate) fn decide(
    tables: &Tables,
    service: &Service,
    now: Timestamp,
    new_id: &mut dyn FnMut() -> TaskId,
) -> Decision {
    let mut context = Context { tables, now, new_id, decision: Decision::default() };
    match service.spec.lifecycle {
        Lifecycle::Removed => remove(&mut context, service),
        Lifecycle::Stopped => stop(&mut context, service),
        Lifecycle::Created | Lifecycle::Running => match service.spec.mode {
            ServiceMode::Replicated { replicas } => {
                let slots = slot::replicated(tables, service, replicas);
                update::run(&mut context, service, slots);
            }
            ServiceMode::Global => {
                let slots = slot::global(&mut context, service);
                update::run(&mut context, service, slots);
            }
            ServiceMode::ReplicatedJob { max_concurrent, total_completions } => {
                job::replicated(&mut context, service, max_concurrent, total_completions);
            }
            ServiceMode::GlobalJob => job::global(&mut context, service),
        },
    }
    start_waiting(&mut context, service);
    reaper::run(&mut context, service);
    context.decision
}

/// Everything goes: containers, then records, then the service itself.
fn remove(context: &mut Context<'_>, service: &Service) {
    let tables = context.tables;
    if tables.tasks_of(&service.id).next().is_none() {
        context
            .decision
            .steps
            .push(Step::RemoveService { service: service.id.clone(), name: service.spec.name.clone() });
        return;
    }
    if dependency::stops_after_others(tables, service) {
        return;
    }
    for task in tables.tasks_of(&service.id) {
        if task.desired != TaskState::Remove {
            context.decision.desire(task, TaskState::Remove, "the service is removed");
        }
    }
}

fn stop(context: &mut Context<'_>, service: &Service) {
    if dependency::stops_after_others(context.tables, service) {
        return;
    }
    for task in context.tables.tasks_of(&service.id) {
        if task.desired <= TaskState::Running {
            context.decision.desire(task, TaskState::Shutdown, "the service is stopped");
        }
    }
}

/// Gives the word to tasks that have waited long enough and for all that they wait for.
fn start_waiting(context: &mut Context<'_>, service: &Service) {
    if service.spec.lifecycle != Lifecycle::Running {
        return;
    }
    let (tables, now) = (context.tables, context.now);
    let mut may_start = None;
    let touched: Vec<TaskId> = context
        .decision
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Desire { task, .. } | Step::Forget { task, .. } => Some(task.clone()),
            _ => None,
        })
        .collect();
    let mut start = |task: &Task, decision_wake: &mut Option<Timestamp>| {
        if let Some(at) = task.start_after.filter(|at| *at > now) {
            *decision_wake = Some(decision_wake.map_or(at, |wake| wake.min(at)));
            return false;
        }
        *may_start.get_or_insert_with(|| dependency::may_start(tables, service))
    };
    let mut wake = context.decision.wake;
    let mut started = Vec::new();
    for task in tables.tasks_of(&service.id) {
        if task.desired < TaskState::Running
            && !task.status.state.is_final()
            && !touched.contains(&task.id)
            && start(task, &mut wake)
        {
            started.push(Step::Start {
                task: task.id.clone(),
                name: super::step::name(task),
                with: dependency::started_with(tables, service),
            });
        }
    }
    // A task that is made in this very pass need not be written twice.
    for step in &mut context.decision.steps {
        if let Step::Create { task, .. } = step
            && start(task, &mut wake)
        {
            task.desired = TaskState::Running;
            task.started_with = dependency::started_with(tables, service);
        }
    }
    context.decision.steps.extend(started);
    context.decision.wake = wake;
}

/// Whether the task's node is gone, so that nothing more is heard of the task.
pub(crate) fn is_lost(tables: &Tables, task: &Task) -> bool {
    task.node.as_ref().is_some_and(|id| tables.nodes().get(id).is_none_or(|node| node.status.state == NodeState::Down))
}

/// Why a task cannot stay on its node: the node is drained, or is no longer what the service asks for.
pub(crate) fn displaced(tables: &Tables, service: &Service, task: &Task) -> Option<&'static str> {
    let node = tables.nodes().get(task.node.as_ref()?)?;
    if node.spec.availability == Availability::Drain {
        return Some("its node is drained");
    }
    if faulty_device(task, node).is_some() {
        return Some("a device that it has is faulty");
    }
    let meets = |text: &String| text.parse::<Constraint>().is_ok_and(|constraint| constraint.met_by(node));
    let placement = &service.spec.task.placement;
    (!placement.constraints.iter().all(meets)).then_some("its node no longer meets the constraints")
}
