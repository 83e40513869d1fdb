//! Slots that lack a task get one; slots whose task is of an older definition get another, so many
//! at once, in the order asked for, watched for failures.

use hoist_proto::{
    clock::Timestamp,
    spec::{FailureAction, Lifecycle, Service, Task, TaskState, UpdateConfig, UpdateOrder, UpdateState, UpdateStatus},
};

use crate::hash::spec_hash;

use super::{
    Decision, Step,
    decide::{Context, displaced, is_lost},
    dependency,
    instance::new_task,
    restart::{Verdict, later, restarts, verdict},
    slot::Slot,
};

/// What a slot's newest task is, against the service's definition.
enum Newest<'a> {
    Nothing,
    UpToDate(&'a Task),
    Outdated(&'a Task),
}

/// Decides over all slots of a service that runs or is being made.
pub(crate) fn run(context: &mut Context<'_>, service: &Service, slots: Vec<Slot>) {
    let tables = context.tables;
    let mut outdated = Vec::new();
    let mut busy = 0_u32;
    let mut monitored = false;
    let config = config(service);
    for slot in &slots {
        for lost in slot.tasks.iter().filter(|task| task.desired <= TaskState::Running && is_lost(tables, task)) {
            context.decision.desire(lost, TaskState::Shutdown, "its node is down");
        }
        if !slot.wanted {
            for task in slot.tasks.iter().filter(|task| task.desired != TaskState::Remove) {
                context.decision.desire(task, TaskState::Remove, "the service was scaled down");
            }
            continue;
        }
        match newest(context, service, slot) {
            Newest::Nothing => {
                if slot.leaving(tables).is_none() {
                    create(context, service, slot, None, cause_of_emptiness(slot));
                } else {
                    busy += 1;
                }
            }
            Newest::UpToDate(task) => {
                settle_overlap(context, service, slot, task);
                if let Some(cause) = displaced(tables, service, task) {
                    context.decision.desire(task, TaskState::Shutdown, cause);
                    create(context, service, slot, None, cause);
                    busy += 1;
                    continue;
                }
                monitored |= is_monitored(&mut context.decision, service, &config, task, context.now);
                if is_settling(&config, task, context.now) {
                    busy += 1;
                    wake_when_settled(&mut context.decision, &config, task);
                }
                ended(context, service, slot, task);
            }
            Newest::Outdated(task) => outdated.push((slot, task.clone())),
        }
    }
    if let Some(failure) = failure(service, &slots, &config) {
        react(context, service, &config, failure);
        return;
    }
    let paused = service
        .update
        .as_ref()
        .is_some_and(|update| matches!(update.state, UpdateState::Paused | UpdateState::RollbackPaused));
    if paused {
        return;
    }
    let room = if config.parallelism == 0 { u32::MAX } else { config.parallelism.saturating_sub(busy) };
    for (slot, task) in outdated.iter().take(room as usize) {
        replace(context, service, slot, task, &config);
    }
    note_progress(context, service, !outdated.is_empty(), busy > 0 || monitored);
}

fn config(service: &Service) -> UpdateConfig {
    let rolling_back = service.update.as_ref().is_some_and(|update| update.state == UpdateState::RollbackStarted);
    let chosen = if rolling_back { service.spec.rollback.as_ref() } else { service.spec.update.as_ref() };
    // Without a word on it, all tasks are replaced together, as Compose does.
    chosen.cloned().unwrap_or(UpdateConfig {
        parallelism: 0,
        monitor: std::time::Duration::ZERO,
        ..UpdateConfig::default()
    })
}

fn newest<'a>(context: &Context<'_>, service: &Service, slot: &'a Slot) -> Newest<'a> {
    let tables = context.tables;
    let live: Vec<&Task> = slot
        .tasks
        .iter()
        .filter(|task| task.desired <= TaskState::Running && !is_lost(tables, task))
        .map(|t| &**t)
        .collect();
    match live.last() {
        None => Newest::Nothing,
        Some(task) if task.spec_hash == service.spec_hash => Newest::UpToDate(task),
        Some(task) => Newest::Outdated(task),
    }
}

fn cause_of_emptiness(slot: &Slot) -> &'static str {
    match slot.tasks.last() {
        None => "the slot has no task",
        Some(task) if task.desired == TaskState::Remove => "its predecessor was removed",
        Some(_) => "its predecessor was stopped",
    }
}

fn create(context: &mut Context<'_>, service: &Service, slot: &Slot, like: Option<&Task>, cause: &str) {
    let id = (context.new_id)();
    let mut task = new_task(service, slot.number, slot.node.clone(), id);
    if let Some(like) = like {
        task.restarts = like.restarts;
        task.start_after = like.start_after;
    }
    context.decision.steps.push(Step::Create { task: Box::new(task), cause: cause.to_owned() });
}

/// A task that has ended: leave it, or give the slot another.
fn ended(context: &mut Context<'_>, service: &Service, slot: &Slot, task: &Task) {
    if service.spec.lifecycle == Lifecycle::Running
        && let Some(dependency) = dependency::updated_dependency(context.tables, service, task)
        && task.desired == TaskState::Running
    {
        // The successor is made when this one has stopped, and takes its container over.
        let cause = format!("{} was updated", dependency::short_name(dependency));
        context.decision.desire(task, TaskState::Shutdown, cause);
        return;
    }
    if !task.status.state.is_final() || service.spec.lifecycle != Lifecycle::Running {
        return;
    }
    if let Verdict::Restart { after, cause } = verdict(service, task) {
        context.decision.desire(task, TaskState::Shutdown, cause.clone());
        let window = service.spec.task.restart.as_ref().map(|policy| policy.window).unwrap_or_default();
        let mut like = task.clone();
        like.restarts = restarts(window, task) + 1;
        like.start_after = (!after.is_zero()).then(|| later(task.status.at, after));
        create(context, service, slot, Some(&like), &cause);
    }
}

/// With start-first, the old task goes once the new one runs.
fn settle_overlap(context: &mut Context<'_>, service: &Service, slot: &Slot, newest: &Task) {
    let has_older = |task: &Task| task.id != newest.id && task.desired <= TaskState::Running;
    if newest.status.state == TaskState::Running {
        for old in slot.tasks.iter().filter(|task| has_older(task)) {
            context.decision.desire(old, replaced(service), "its successor runs");
        }
    }
}

/// What becomes of a task that another has replaced: a compose service's container makes room for its successor, any
/// other's stays as a part of the service's history.
pub(crate) fn replaced(service: &Service) -> TaskState {
    if service.spec.compose.is_some() { TaskState::Remove } else { TaskState::Shutdown }
}

fn replace(context: &mut Context<'_>, service: &Service, slot: &Slot, task: &Task, config: &UpdateConfig) {
    let cause = "the definition changed";
    if config.order == UpdateOrder::StartFirst && task.status.state == TaskState::Running {
        create(context, service, slot, None, cause);
    } else {
        context.decision.desire(task, replaced(service), cause);
        if task.node.is_none() {
            create(context, service, slot, None, cause);
        }
    }
}

/// Whether an updated task still counts against the parallelism.
fn is_settling(config: &UpdateConfig, task: &Task, now: Timestamp) -> bool {
    if task.status.state.is_final() {
        return false;
    }
    task.status.state < TaskState::Running || now < later(task.status.at, config.delay)
}

fn wake_when_settled(decision: &mut Decision, config: &UpdateConfig, task: &Task) {
    if task.status.state == TaskState::Running && !config.delay.is_zero() {
        decision.wake_at(later(task.status.at, config.delay));
    }
}

/// Whether an updated task has not run for long enough yet that the update can be called complete.
fn is_monitored(
    decision: &mut Decision,
    service: &Service,
    config: &UpdateConfig,
    task: &Task,
    now: Timestamp,
) -> bool {
    let updating = |update: &UpdateStatus| {
        matches!(update.state, UpdateState::Updating | UpdateState::RollbackStarted)
            && task.meta.created >= update.started
    };
    if config.monitor.is_zero() || !service.update.as_ref().is_some_and(updating) {
        return false;
    }
    let Some(since) = task.status.running_since.filter(|_| task.status.state == TaskState::Running) else {
        return false;
    };
    let until = later(since, config.monitor);
    if now < until {
        decision.wake_at(until);
    }
    now < until
}

/// The first failure of updated tasks that is more than the configuration tolerates.
fn failure(service: &Service, slots: &[Slot], config: &UpdateConfig) -> Option<String> {
    let update = service.update.as_ref()?;
    if !matches!(update.state, UpdateState::Updating | UpdateState::RollbackStarted) {
        return None;
    }
    let wanted = slots.iter().filter(|slot| slot.wanted).count().max(1);
    let failed: Vec<_> = slots
        .iter()
        .flat_map(|slot| &slot.tasks)
        .filter(|task| {
            task.spec_hash == service.spec_hash
                && task.meta.created >= update.started
                && matches!(task.status.state, TaskState::Failed | TaskState::Rejected)
                && (config.monitor.is_zero()
                    || task.status.running_since.is_none_or(|since| task.status.at <= later(since, config.monitor)))
        })
        .collect();
    let ratio = failed.len() as f32 / wanted as f32;
    (ratio > config.max_failure_ratio).then(|| {
        let why = failed.first().and_then(|task| task.status.error.clone()).unwrap_or_else(|| "it failed".into());
        format!("{} of {wanted} updated tasks failed: {why}", failed.len())
    })
}

fn react(context: &mut Context<'_>, service: &Service, config: &UpdateConfig, failure: String) {
    // An `up` without update_config reports the failure itself, and nothing is held back.
    if service.spec.update.is_none() || config.failure_action == FailureAction::Continue {
        note_progress(context, service, false, false);
        return;
    }
    let mut changed = service.clone();
    let rolling_back = service.update.as_ref().is_some_and(|update| update.state == UpdateState::RollbackStarted);
    match (config.failure_action, service.previous.clone(), rolling_back) {
        (FailureAction::Rollback, Some(previous), false) => {
            changed.spec_hash = spec_hash(&previous);
            changed.spec = *previous;
            changed.previous = None;
            changed.update = Some(UpdateStatus {
                state: UpdateState::RollbackStarted,
                started: context.now,
                completed: None,
                message: failure.clone(),
            });
        }
        _ => {
            if let Some(update) = &mut changed.update {
                update.state = if rolling_back { UpdateState::RollbackPaused } else { UpdateState::Paused };
                update.message.clone_from(&failure);
            }
        }
    }
    context.decision.steps.push(Step::Service { service: Box::new(changed), cause: failure });
}

/// Writes that an update has begun or ended.
fn note_progress(context: &mut Context<'_>, service: &Service, outdated: bool, busy: bool) {
    let Some(update) = &service.update else { return };
    let done = match update.state {
        UpdateState::Updating => UpdateState::Completed,
        UpdateState::RollbackStarted => UpdateState::RollbackCompleted,
        _ => return,
    };
    let creating = context.decision.steps.iter().any(|step| matches!(step, Step::Create { .. }));
    if outdated || busy || creating {
        return;
    }
    let mut changed = service.clone();
    changed.update = Some(UpdateStatus {
        state: done,
        started: update.started,
        completed: Some(context.now),
        message: match done {
            UpdateState::RollbackCompleted => "rollback completed".into(),
            _ => "update completed".into(),
        },
    });
    context.decision.steps.push(Step::Service { service: Box::new(changed), cause: "the update is complete".into() });
}
