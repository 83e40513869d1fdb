//! Why a task is where it is, or why it waits.

use hoist_proto::spec::Task;
use serde::Serialize;

use crate::{
    Needs, Snapshot,
    filter::{FILTERS, Kind, Unsuitable, first_failed},
};

/// What the scheduler thinks of every node, for one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Nodes that would do, the best first, as far as they are listed.
    pub suitable: Vec<Candidate>,
    pub suitable_count: usize,
    /// Conditions that turned nodes down.
    pub refused: Vec<Refusal>,
}

/// A node that would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    pub node: String,
    pub hostname: String,
    /// Tasks of the same service on it, all tasks on it, and its memory that is not set aside.
    pub tasks_of_service: u32,
    pub tasks: u32,
    pub free_memory: u64,
}

/// A condition and the nodes that fail it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub reason: String,
    pub nodes: Vec<String>,
}

/// How many nodes are listed by name.
const LISTED: usize = 10;

impl Snapshot {
    /// Looks at every node as the task would be placed now; what the task itself holds is not held against it.
    pub fn explain(&self, task: &Task) -> Explanation {
        let mut without = self.clone();
        without.note_task(&task.id, None);
        let needs = Needs::of(task);
        let all = [Kind::Presence, Kind::Fitness, Kind::Room];
        let mut refused: Vec<Vec<String>> = vec![Vec::new(); FILTERS.len()];
        let mut suitable = Vec::new();
        for (index, state) in (0_u32..).zip(&without.nodes) {
            let mine = without.mine(&task.service, index);
            let hostname = state.node.description.hostname.clone();
            match first_failed(&all, &needs, state, mine) {
                Some(first) => refused[first].push(hostname),
                None => suitable.push(Candidate {
                    node: state.node.id.to_string(),
                    hostname,
                    tasks_of_service: mine,
                    tasks: state.tasks,
                    free_memory: state.node.description.memory.saturating_sub(state.memory),
                }),
            }
        }
        suitable.sort_by_key(|one| (one.tasks_of_service, one.tasks, std::cmp::Reverse(one.free_memory)));
        let suitable_count = suitable.len();
        suitable.truncate(LISTED);
        let refused = refused.into_iter().enumerate().filter(|(_, nodes)| !nodes.is_empty()).map(|(at, mut nodes)| {
            let mut counts = vec![0; FILTERS.len()];
            counts[at] = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            let reason = Unsuitable::new(&needs, &counts).reasons().concat();
            nodes.truncate(LISTED);
            Refusal { reason, nodes }
        });
        Explanation { refused: refused.collect(), suitable, suitable_count }
    }
}
