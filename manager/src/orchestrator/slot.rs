//! A service's places for tasks, and what is in them.

use std::{collections::BTreeMap, sync::Arc};

use hoist_proto::{
    id::NodeId,
    spec::{Availability, NodeState, Service, Task, TaskState},
};
use hoist_scheduler::{Needs, fits};
use hoist_store::Tables;

use super::{decide::Context, decide::is_lost, instance::new_task};

/// A place for one task.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) number: u32,
    /// The node, for a global service.
    pub(crate) node: Option<NodeId>,
    /// Whether the service wants a task there.
    pub(crate) wanted: bool,
    /// All tasks of the place, oldest first.
    pub(crate) tasks: Vec<Arc<Task>>,
}

impl Slot {
    /// Tasks that are to run, newest last.
    pub(crate) fn live<'a>(&'a self, tables: &'a Tables) -> impl DoubleEndedIterator<Item = &'a Arc<Task>> {
        self.tasks.iter().filter(|task| task.desired <= TaskState::Running && !is_lost(tables, task))
    }

    /// A task that is to go and has not gone yet: it holds the slot's name, ports and volumes.
    pub(crate) fn leaving<'a>(&'a self, tables: &Tables) -> Option<&'a Arc<Task>> {
        self.tasks.iter().find(|task| {
            task.node.is_some()
                && !is_lost(tables, task)
                && match task.desired {
                    TaskState::Remove => task.status.state != TaskState::Remove,
                    desired => desired > TaskState::Running && !task.status.state.is_final(),
                }
        })
    }
}

fn oldest_first(slot: &mut Slot) {
    slot.tasks.sort_by_key(|task| (task.meta.created, task.meta.version, task.id.clone()));
}

/// The slots of a replicated service: those that are wanted and those that still have tasks.
pub(crate) fn replicated(tables: &Tables, service: &Service, replicas: u32) -> Vec<Slot> {
    let empty = |number| Slot { number, node: None, wanted: number <= replicas, tasks: Vec::new() };
    let mut slots: BTreeMap<u32, Slot> = (1..=replicas).map(|number| (number, empty(number))).collect();
    for task in tables.tasks_of(&service.id) {
        slots.entry(task.slot).or_insert_with(|| empty(task.slot)).tasks.push(task.clone());
    }
    let mut slots: Vec<Slot> = slots.into_values().collect();
    slots.iter_mut().for_each(oldest_first);
    slots
}

/// The slots of a global service: one on each node that suits.
pub(crate) fn global(context: &mut Context<'_>, service: &Service) -> Vec<Slot> {
    let tables = context.tables;
    let mut slots: BTreeMap<NodeId, Slot> = BTreeMap::new();
    let needs = Needs::of(&new_task(service, 0, None, (context.new_id)()));
    // Who holds a device keeps it, when it is set aside or its driver is silent too.
    let with_devices = needs.without_devices();
    let with_tasks: std::collections::BTreeSet<&NodeId> =
        tables.tasks_of(&service.id).filter_map(|task| task.node.as_ref()).collect();
    for node in tables.nodes().iter() {
        let keeps = node.spec.availability == Availability::Pause || node.status.state == NodeState::Unknown;
        let has = with_tasks.contains(&node.id);
        let suits = fits(if has { &with_devices } else { &needs }, node);
        let up = node.status.state == NodeState::Ready;
        let wanted = (suits && up) || (keeps && has);
        if wanted || has {
            slots.insert(node.id.clone(), Slot { number: 0, node: Some(node.id.clone()), wanted, tasks: Vec::new() });
        }
    }
    for task in tables.tasks_of(&service.id) {
        if let Some(slot) = task.node.as_ref().and_then(|node| slots.get_mut(node)) {
            slot.tasks.push(task.clone());
        }
    }
    let mut slots: Vec<Slot> = slots.into_values().collect();
    slots.iter_mut().for_each(oldest_first);
    slots
}
