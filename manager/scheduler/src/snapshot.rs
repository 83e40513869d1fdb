//! What the cluster has and what is taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hoist_proto::{
    id::{NodeId, ServiceId},
    spec::{Node, Protocol, PublishMode, Task},
};
use hoist_store::Tables;

use crate::{
    filter::{FILTERS, Unsuitable},
    spread,
};

/// One node and what is taken of it.
#[derive(Debug, Clone)]
pub struct NodeState {
    pub node: Arc<Node>,
    /// Tasks that are wanted there, by service.
    pub(crate) by_service: BTreeMap<ServiceId, u32>,
    pub(crate) tasks: u32,
    pub(crate) nano_cpus: u64,
    pub(crate) memory: u64,
    pub(crate) ports: BTreeSet<(Protocol, u16)>,
}

impl NodeState {
    fn new(node: Arc<Node>) -> Self {
        Self { node, by_service: BTreeMap::new(), tasks: 0, nano_cpus: 0, memory: 0, ports: BTreeSet::new() }
    }

    /// Takes what a task needs.
    fn add(&mut self, task: &Task) {
        let resources = &task.spec.container.resources;
        *self.by_service.entry(task.service.clone()).or_default() += 1;
        self.tasks += 1;
        self.nano_cpus += resources.reserved_nano_cpus.unwrap_or(0);
        self.memory += resources.reserved_memory.unwrap_or(0);
        self.ports.extend(host_ports(task));
    }
}

/// The ports of its node's addresses that a task must have for itself.
///
/// A port that is bound to one address of the host may be bound to another as well: only the engine
/// can tell whether these clash.
pub(crate) fn host_ports(task: &Task) -> impl Iterator<Item = (Protocol, u16)> {
    task.spec.container.ports.iter().filter(|port| port.mode == PublishMode::Host && port.host_ip.is_none()).filter_map(
        |port| port.host_port.filter(|(first, last)| first == last).map(|(first, _)| (port.protocol, first)),
    )
}

/// All nodes, as of one reading of the store.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) nodes: BTreeMap<NodeId, NodeState>,
}

impl Snapshot {
    /// Reads nodes, and the tasks that occupy them: those that have not ended and are not to end.
    pub fn of(tables: &Tables) -> Self {
        let mut nodes: BTreeMap<_, _> =
            tables.nodes().iter().map(|node| (node.id.clone(), NodeState::new(node.clone()))).collect();
        for task in tables.tasks().iter() {
            if !task.status.state.is_final()
                && !task.desired.is_final()
                && let Some(state) = task.node.as_ref().and_then(|node| nodes.get_mut(node))
            {
                state.add(task);
            }
        }
        Self { nodes }
    }

    /// From nodes alone, with nothing taken.
    pub fn of_nodes(nodes: impl IntoIterator<Item = Node>) -> Self {
        Self { nodes: nodes.into_iter().map(|node| (node.id.clone(), NodeState::new(Arc::new(node)))).collect() }
    }

    /// Gives the task a node and takes there what it needs; or says why no node will do.
    ///
    /// A task that has a node already (a global service's) keeps it, if it suits.
    pub fn place(&mut self, task: &Task) -> Result<NodeId, Unsuitable> {
        let mut rejected = vec![0_u32; FILTERS.len()];
        let mut suitable = Vec::new();
        let candidates = self.nodes.values().filter(|state| task.node.as_ref().is_none_or(|id| *id == state.node.id));
        for state in candidates {
            match FILTERS.iter().position(|filter| !(filter.suits)(task, state)) {
                Some(first) => rejected[first] += 1,
                None => suitable.push(state),
            }
        }
        let chosen = spread::choose(task, &suitable).map(|state| state.node.id.clone());
        let Some(chosen) = chosen else {
            return Err(Unsuitable::new(task, &rejected));
        };
        if let Some(state) = self.nodes.get_mut(&chosen) {
            state.add(task);
        }
        Ok(chosen)
    }

    /// Whether a node would take a task of this kind at all: whether a global service runs there.
    pub fn suits(&self, task: &Task, node: &NodeId) -> bool {
        self.nodes
            .get(node)
            .is_some_and(|state| FILTERS.iter().filter(|f| f.decides_global).all(|filter| (filter.suits)(task, state)))
    }
}
