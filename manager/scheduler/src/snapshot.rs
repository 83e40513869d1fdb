//! What the cluster has and what is taken.

use std::{collections::HashMap, sync::Arc};

use hoist_choice::Ledger;
use hoist_proto::{
    id::{NodeId, ServiceId, TaskId},
    spec::{AssignedDevice, Node, PlacementStrategy, Protocol, Task, TaskState},
};
use hoist_store::Tables;

use crate::{
    Needs, device,
    device::holds_devices,
    filter::{FILTERS, Kind, Unsuitable, first_failed},
    group::Group,
};

/// One node and what is taken of it.
#[derive(Debug, Clone)]
pub struct NodeState {
    pub node: Arc<Node>,
    pub(crate) tasks: u32,
    pub(crate) nano_cpus: u64,
    pub(crate) memory: u64,
    /// Which devices tasks have.
    pub(crate) devices: Ledger,
    /// How many tasks have each port: two, for a moment, when one takes over from the other.
    pub(crate) ports: HashMap<(Protocol, u16), u32>,
}

impl NodeState {
    fn new(node: Arc<Node>) -> Self {
        Self { node, tasks: 0, nano_cpus: 0, memory: 0, devices: Ledger::default(), ports: HashMap::new() }
    }
}

/// What a task holds of a node.
#[derive(Debug, Clone)]
struct Held {
    node: u32,
    service: ServiceId,
    nano_cpus: u64,
    memory: u64,
    ports: Vec<(Protocol, u16)>,
}

/// All nodes and what is taken of them. It follows the store by [`Snapshot::note_task`] and [`Snapshot::note_node`].
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) nodes: Vec<NodeState>,
    index: HashMap<NodeId, u32>,
    held: HashMap<TaskId, Held>,
    /// The nodes of tasks that have devices: longer than what else they hold, until they have ended.
    device_holders: HashMap<TaskId, u32>,
    /// Tasks of each service by node.
    pub(crate) by_service: HashMap<ServiceId, HashMap<u32, u32>>,
    groups: HashMap<ServiceId, Vec<(Needs, Group)>>,
    placements: u64,
}

impl Snapshot {
    /// Reads nodes, and the tasks that occupy them.
    pub fn of(tables: &Tables) -> Self {
        let mut snapshot = Self::of_shared(tables.nodes().iter().cloned());
        for task in tables.tasks().iter().filter(|task| occupies(task)) {
            snapshot.hold(task);
        }
        for task in tables.tasks().iter() {
            snapshot.note_devices(&task.id, Some(task));
        }
        snapshot
    }

    /// From nodes alone, with nothing taken.
    pub fn of_nodes(nodes: impl IntoIterator<Item = Node>) -> Self {
        Self::of_shared(nodes.into_iter().map(Arc::new))
    }

    fn of_shared(nodes: impl IntoIterator<Item = Arc<Node>>) -> Self {
        let mut nodes: Vec<NodeState> = nodes.into_iter().map(NodeState::new).collect();
        // Ties go to the first by id, so that a choice can be repeated.
        nodes.sort_by(|a, b| a.node.id.cmp(&b.node.id));
        let index = (0_u32..).zip(&nodes).map(|(index, state)| (state.node.id.clone(), index)).collect();
        Self { nodes, index, ..Self::default() }
    }

    /// Takes note of a task that changed; says whether room was freed.
    pub fn note_task(&mut self, id: &TaskId, now: Option<&Task>) -> bool {
        let returned = self.note_devices(id, now);
        if returned {
            self.groups.clear();
        }
        returned | self.note_room(id, now)
    }

    /// Says whether devices were given back.
    fn note_devices(&mut self, id: &TaskId, now: Option<&Task>) -> bool {
        let now = now.filter(|task| !task.devices.is_empty() && holds_devices(task));
        let place = now.and_then(|task| self.index.get(task.node.as_ref()?)).copied();
        if self.device_holders.get(id).copied() == place {
            return false;
        }
        let before = self.device_holders.remove(id);
        if let Some(before) = before {
            self.nodes[before as usize].devices.release(id.as_str());
        }
        if let Some((task, place)) = now.zip(place) {
            device::take(&mut self.nodes[place as usize], task);
            self.device_holders.insert(id.clone(), place);
            self.groups.clear();
        }
        before.is_some()
    }

    fn note_room(&mut self, id: &TaskId, now: Option<&Task>) -> bool {
        match now.filter(|task| occupies(task)) {
            Some(task) => {
                let node = task.node.as_ref().and_then(|node| self.index.get(node));
                if self.held.get(id).map(|held| &held.node) == node {
                    return false;
                }
                let freed = self.release(id);
                self.hold(task);
                // A task that somebody else has placed.
                self.groups.clear();
                freed
            }
            None => self.release(id),
        }
    }

    /// Takes note of a node that is new or changed. A node that is gone needs a new snapshot.
    pub fn note_node(&mut self, node: &Arc<Node>) {
        match self.index.get(&node.id) {
            Some(index) => self.nodes[*index as usize].node = node.clone(),
            None => {
                let index = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
                self.index.insert(node.id.clone(), index);
                self.nodes.push(NodeState::new(node.clone()));
            }
        }
        self.groups.clear();
    }

    fn hold(&mut self, task: &Task) {
        let Some(node) = task.node.as_ref().and_then(|node| self.index.get(node)).copied() else { return };
        self.hold_on(task, &Needs::of(task), node);
    }

    fn hold_on(&mut self, task: &Task, needs: &Needs, node: u32) {
        let state = &mut self.nodes[node as usize];
        state.tasks += 1;
        state.nano_cpus += needs.nano_cpus;
        state.memory += needs.memory;
        for port in &needs.ports {
            *state.ports.entry(*port).or_default() += 1;
        }
        *self.by_service.entry(task.service.clone()).or_default().entry(node).or_default() += 1;
        let held = Held {
            node,
            service: task.service.clone(),
            nano_cpus: needs.nano_cpus,
            memory: needs.memory,
            ports: needs.ports.clone(),
        };
        self.held.insert(task.id.clone(), held);
    }

    fn release(&mut self, id: &TaskId) -> bool {
        let Some(held) = self.held.remove(id) else { return false };
        let state = &mut self.nodes[held.node as usize];
        state.tasks -= 1;
        state.nano_cpus -= held.nano_cpus;
        state.memory -= held.memory;
        for port in &held.ports {
            if let Some(count) = state.ports.get_mut(port) {
                *count -= 1;
                if *count == 0 {
                    state.ports.remove(port);
                }
            }
        }
        if let Some(nodes) = self.by_service.get_mut(&held.service) {
            if let Some(count) = nodes.get_mut(&held.node) {
                *count -= 1;
                if *count == 0 {
                    nodes.remove(&held.node);
                }
            }
            if nodes.is_empty() {
                self.by_service.remove(&held.service);
            }
        }
        self.groups.clear();
        true
    }

    pub(crate) fn mine(&self, service: &ServiceId, node: u32) -> u32 {
        self.by_service.get(service).and_then(|nodes| nodes.get(&node)).copied().unwrap_or(0)
    }

    /// Gives the task a node and takes there what it needs; or says why no node will do.
    ///
    /// A task that has a node already (a global service's) keeps it, if it suits.
    pub fn place(&mut self, task: &Task) -> Result<Placed, Unsuitable> {
        let needs = Needs::of(task);
        if let Some(id) = &task.node {
            return self.place_on(task, &needs, id);
        }
        let groups = self.groups.entry(task.service.clone()).or_default();
        let at = match groups.iter().position(|(known, _)| *known == needs) {
            Some(at) => at,
            None => {
                let mine = self.by_service.get(&task.service).cloned().unwrap_or_default();
                groups.push((needs.clone(), Group::new(needs.clone(), &self.nodes, mine)));
                groups.len() - 1
            }
        };
        let several = groups.len() > 1;
        let group = &mut groups[at].1;
        // What others took makes a node better for packing, and a heap sees only what gets worse. Tasks of the same
        // service that ask for something else are others too.
        let stale = group.as_of != self.placements && (several || needs.strategy == PlacementStrategy::Binpack);
        if stale {
            let mine = self.by_service.get(&task.service).cloned().unwrap_or_default();
            *group = Group::new(needs.clone(), &self.nodes, mine);
        }
        let Some(node) = group.choose(&self.nodes) else {
            return Err(Unsuitable::new(&needs, &group.rejected));
        };
        self.placements += 1;
        let placed = self.give(task, &needs, node)?;
        if let Some((_, group)) = self.groups.get_mut(&task.service).and_then(|groups| groups.get_mut(at)) {
            group.took(&self.nodes, node);
            group.as_of = self.placements;
        }
        Ok(placed)
    }

    fn place_on(&mut self, task: &Task, needs: &Needs, id: &NodeId) -> Result<Placed, Unsuitable> {
        let mut rejected = vec![0; FILTERS.len()];
        let Some(index) = self.index.get(id).copied() else {
            return Err(Unsuitable::new(needs, &rejected));
        };
        let state = &self.nodes[index as usize];
        let all = [Kind::Presence, Kind::Fitness, Kind::Room];
        if let Some(first) = first_failed(&all, needs, state, self.mine(&task.service, index)) {
            rejected[first] = 1;
            return Err(Unsuitable::new(needs, &rejected));
        }
        self.placements += 1;
        let placed = self.give(task, needs, index)?;
        // Its service's other tasks have nodes of their own, and other groups see what got worse.
        self.groups.remove(&task.service);
        Ok(placed)
    }

    /// Takes what a task needs of a node that has it.
    fn give(&mut self, task: &Task, needs: &Needs, index: u32) -> Result<Placed, Unsuitable> {
        let state = &mut self.nodes[index as usize];
        let Ok(devices) = device::choose(&needs.devices, state, task) else {
            // The filters have asked the same.
            return Err(Unsuitable::new(needs, &vec![0; FILTERS.len()]));
        };
        let node = state.node.id.clone();
        if !devices.is_empty() {
            device::take(state, &Task { devices: devices.clone(), ..Task::clone(task) });
            self.device_holders.insert(task.id.clone(), index);
        }
        self.hold_on(task, needs, index);
        Ok(Placed { node, devices })
    }
}

/// Where a task goes, and what it has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub node: NodeId,
    pub devices: Vec<AssignedDevice>,
}

/// Whether a task takes room: it has not ended and is not to end.
fn occupies(task: &Task) -> bool {
    // A task that has its node beforehand takes nothing before it is placed there.
    let placed = task.status.state >= TaskState::Assigned && !task.status.state.is_final();
    task.node.is_some() && placed && !task.desired.is_final()
}

/// Whether a node would take a task that asks for this at all: whether a global service runs there.
pub fn fits(needs: &Needs, node: &Arc<Node>) -> bool {
    first_failed(&[Kind::Fitness], needs, &NodeState::new(node.clone()), 0).is_none()
}
