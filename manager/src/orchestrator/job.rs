//! Services that end: so many completions, so many at once.

use hoist_proto::spec::{Service, Task, TaskState};

use super::{
    Step,
    decide::{Context, displaced},
    instance::new_task,
    restart::{Verdict, later, verdict},
    slot::{self, Slot},
};

/// `total` slots, each to complete once, at most `concurrent` at a time (0 is all).
pub(crate) fn replicated(context: &mut Context<'_>, service: &Service, concurrent: u32, total: u32) {
    let slots = slot::replicated(context.tables, service, total);
    run(context, service, slots, concurrent);
}

/// One completion on each node that suits.
pub(crate) fn global(context: &mut Context<'_>, service: &Service) {
    let slots = slot::global(context, service);
    run(context, service, slots, 0);
}

fn run(context: &mut Context<'_>, service: &Service, slots: Vec<Slot>, concurrent: u32) {
    let tables = context.tables;
    let running = slots
        .iter()
        .flat_map(|slot| slot.live(tables))
        .filter(|task| !task.status.state.is_final() && task.spec_hash == service.spec_hash)
        .count();
    let mut room = match concurrent {
        0 => usize::MAX,
        most => (most as usize).saturating_sub(running),
    };
    for slot in slots {
        if !slot.wanted {
            remove_all(context, &slot.tasks, "the job needs fewer completions");
            continue;
        }
        let Some(task) = slot.live(tables).next_back().cloned() else {
            if room > 0 && slot.leaving(tables).is_none() {
                room -= 1;
                create(context, service, &slot, None, "the job's slot has not run yet");
            }
            continue;
        };
        if task.spec_hash != service.spec_hash {
            // A job whose definition changed runs anew.
            remove_all(context, &slot.tasks, "the definition changed");
            continue;
        }
        if !task.status.state.is_final()
            && let Some(cause) = displaced(tables, service, &task)
        {
            context.decision.desire(&task, TaskState::Shutdown, cause);
            create(context, service, &slot, Some(&task), cause);
            continue;
        }
        if task.status.state.is_final()
            && task.status.state != TaskState::Complete
            && room > 0
            && let Verdict::Restart { after, cause } = verdict(service, &task)
        {
            room -= 1;
            context.decision.desire(&task, TaskState::Shutdown, cause.clone());
            let mut like = (*task).clone();
            like.restarts += 1;
            like.start_after = (!after.is_zero()).then(|| later(task.status.at, after));
            create(context, service, &slot, Some(&like), &cause);
        }
    }
}

fn remove_all(context: &mut Context<'_>, tasks: &[std::sync::Arc<Task>], cause: &str) {
    for task in tasks.iter().filter(|task| task.desired != TaskState::Remove) {
        context.decision.desire(task, TaskState::Remove, cause);
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
