//! Which nodes have an image that another needs.

use std::collections::BTreeSet;

use hoist_proto::{
    id::{NodeId, TaskId},
    spec::{Node, NodeState, Task, TaskState},
    wire::ManagerAddress,
};
use hoist_store::Tables;

/// One of them is enough; a few are for when it is not.
const MOST: usize = 4;

/// Nodes that run the same image, and the one that had it when the service was made; not the one that asks.
pub(super) fn of(tables: &Tables, task: &TaskId, asks: &NodeId) -> Vec<ManagerAddress> {
    let Some(task) = tables.tasks().get(task).filter(|task| task.node.as_ref() == Some(asks)) else {
        return Vec::new();
    };
    let same = |other: &&std::sync::Arc<Task>| {
        other.spec.container.image == task.spec.container.image && other.status.state == TaskState::Running
    };
    // Tasks of one service are the ones that share an image; the first node is not always the one that is asked.
    let mut nodes: Vec<NodeId> = tables.tasks_of(&task.service).filter(same).filter_map(|t| t.node.clone()).collect();
    if !nodes.is_empty() {
        let by = task.id.as_str().bytes().map(usize::from).sum::<usize>() % nodes.len();
        nodes.rotate_left(by);
    }
    nodes.extend(task.spec.image.as_ref().map(|image| image.node.clone()));
    let mut seen = BTreeSet::new();
    let reachable = |id: &NodeId| {
        let node = tables.get::<Node>(id)?;
        let up = node.status.state == NodeState::Ready && !node.address.is_empty();
        up.then(|| ManagerAddress { node_id: id.to_string(), address: node.address.clone(), ..Default::default() })
    };
    let others = nodes.iter().filter(|id| *id != asks && seen.insert((*id).clone()));
    others.filter_map(reachable).take(MOST).collect()
}
