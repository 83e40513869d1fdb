//! Among nodes that will do, the one that spreads a service best.

use std::{cmp::Reverse, collections::BTreeMap};

use hoist_proto::spec::Task;

use crate::{NodeState, constraint::attribute};

/// The group of nodes with the fewest tasks of the service, for each preference in turn; in it the
/// node with the fewest tasks of the service, then of all, then the most memory unreserved. Ties go to
/// the first by id, so that the choice can be repeated.
pub(crate) fn choose<'a>(task: &Task, suitable: &[&'a NodeState]) -> Option<&'a NodeState> {
    let mine = |state: &NodeState| state.by_service.get(&task.service).copied().unwrap_or(0);
    let mut group: Vec<&NodeState> = suitable.to_vec();
    for key in &task.spec.placement.spread {
        let mut sums: BTreeMap<Option<String>, u32> = BTreeMap::new();
        for state in &group {
            *sums.entry(attribute(key, &state.node)).or_default() += mine(state);
        }
        let Some(fewest) = sums.iter().min_by_key(|(_, sum)| **sum).map(|(value, _)| value.clone()) else { break };
        group.retain(|state| attribute(key, &state.node) == fewest);
    }
    group.into_iter().min_by_key(|state| {
        let free = state.node.description.memory.saturating_sub(state.memory);
        (mine(state), state.tasks, Reverse(free), state.node.id.clone())
    })
}
