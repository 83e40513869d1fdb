//! Records of tasks that are over are forgotten: at once when their container is gone, and else when
//! there are more of them than are kept.

use std::collections::BTreeMap;

use hoist_proto::spec::{Service, Task, TaskState};

use super::{Step, decide::Context, decide::is_lost};

const KEPT: u32 = 5;

pub(crate) fn run(context: &mut Context<'_>, service: &Service) {
    let tables = context.tables;
    let limit = tables.cluster().map_or(KEPT, |cluster| cluster.task_history_limit) as usize;
    let desired_now = |task: &Task, steps: &[Step]| {
        steps
            .iter()
            .rev()
            .find_map(|step| match step {
                Step::Desire { task: id, desired, .. } if *id == task.id => Some(*desired),
                _ => None,
            })
            .unwrap_or(task.desired)
    };
    let mut over: BTreeMap<(u32, Option<String>), Vec<&Task>> = BTreeMap::new();
    let mut forget: Vec<(&Task, &str)> = Vec::new();
    for task in tables.tasks_of(&service.id) {
        let desired = desired_now(task, &context.decision.steps);
        let unseen = task.node.is_none() && desired > TaskState::Running;
        if task.status.state == TaskState::Remove || unseen {
            forget.push((task, "its container is gone"));
        } else if desired == TaskState::Remove && is_lost(tables, task) {
            forget.push((task, "its node is down"));
        } else if desired == TaskState::Shutdown && (task.status.state.is_final() || is_lost(tables, task)) {
            let node = (task.slot == 0).then(|| task.node.as_ref().map(ToString::to_string)).flatten();
            over.entry((task.slot, node)).or_default().push(task);
        }
    }
    for tasks in over.values_mut() {
        tasks.sort_by_key(|task| (task.meta.created, task.meta.version));
        let surplus = tasks.len().saturating_sub(limit);
        for task in tasks.iter().take(surplus) {
            // A container of its own goes with its task; a compose service's was taken over by its successor.
            let has_container = service.spec.compose.is_none() && task.status.container_id.is_some();
            if has_container && !is_lost(tables, task) {
                context.decision.desire(task, TaskState::Remove, "older ones are not kept");
            } else {
                forget.push((*task, "older ones are not kept"));
            }
        }
    }
    for (task, cause) in forget {
        context.decision.steps.retain(|step| !matches!(step, Step::Desire { task: id, .. } if *id == task.id));
        context.decision.forget(task, cause);
    }
}
