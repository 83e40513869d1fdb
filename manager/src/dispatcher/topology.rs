//! Who is on the networks of a node that span nodes, and behind which virtual addresses they stand.
//!
//! Each member and each virtual service is a thing of its own, so that what is told grows with the change.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hoist_proto::{
    id::{AttachmentId, NetworkId, NodeId, ServiceId, TaskId},
    spec::{
        Attachment, ClusterNetwork, Health, NetworkAddresses, NetworkMember, Node, NodeState, Service, Task, TaskState,
        VirtualService,
    },
    wire::{AssignmentChange, assignment_change},
};
use hoist_store::{Event, Index, Tables};

use super::json;
use crate::allocator::{holds_addresses, mesh};

/// How the ids of nodes among members begin.
const NODE: &str = "node-";
/// And those of containers that are no tasks.
const BY_HAND: &str = "attachment-";

/// What an agent was told of its networks.
#[derive(Debug, Default)]
pub(super) struct Topology {
    /// The node's networks that span nodes.
    networks: BTreeSet<NetworkId>,
    members: BTreeMap<(NetworkId, String), NetworkMember>,
    services: BTreeMap<(NetworkId, ServiceId), VirtualService>,
}

/// What may be otherwise than was told.
#[derive(Debug, Default)]
pub(super) struct Stale {
    everything: bool,
    tasks: BTreeSet<TaskId>,
    services: BTreeSet<ServiceId>,
    /// Nodes' own places on the routing mesh.
    nodes: BTreeSet<NodeId>,
    /// Containers that are no tasks.
    attachments: BTreeSet<AttachmentId>,
}

impl Stale {
    pub(super) fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// Both together.
    pub(super) fn merge(&mut self, other: &Self) {
        self.everything |= other.everything;
        self.tasks.extend(other.tasks.iter().cloned());
        self.services.extend(other.services.iter().cloned());
        self.nodes.extend(other.nodes.iter().cloned());
        self.attachments.extend(other.attachments.iter().cloned());
    }
}

/// What may be otherwise than was told, by the network on which it is.
pub(super) fn stale<'a>(
    tables: &Tables,
    mesh: Option<&NetworkId>,
    events: impl Iterator<Item = &'a Event>,
) -> BTreeMap<NetworkId, Stale> {
    let mut all = BTreeMap::<NetworkId, Stale>::new();
    let note_task = |all: &mut BTreeMap<NetworkId, Stale>, task: &Task| {
        for given in &task.addresses {
            all.entry(given.network.clone()).or_default().tasks.insert(task.id.clone());
        }
    };
    for event in events {
        if let Some((before, after)) = event.of::<Task>() {
            before.into_iter().chain(after).for_each(|task| note_task(&mut all, task));
        } else if let Some((before, after)) = event.of::<Attachment>() {
            for attachment in before.into_iter().chain(after) {
                all.entry(attachment.network.clone()).or_default().attachments.insert(attachment.id.clone());
            }
        } else if let Some((before, after)) = event.of::<Service>() {
            let given = |service: Option<&Arc<Service>>| {
                service.map(|service| (service.virtual_ips.clone(), service.mesh.clone())).unwrap_or_default()
            };
            if given(before) == given(after) {
                continue;
            }
            for service in before.into_iter().chain(after) {
                let virtual_ips = service.virtual_ips.iter().map(|given| &given.network);
                for network in virtual_ips.chain(service.mesh.iter().map(|mesh| &mesh.network)) {
                    all.entry(network.clone()).or_default().services.insert(service.id.clone());
                }
                // Whether its tasks stand behind it has changed with it.
                tables.tasks_of(&service.id).for_each(|task| note_task(&mut all, task));
            }
        } else if let Some((before, after)) = event.of::<Node>() {
            let seen = |node: Option<&Arc<Node>>| {
                node.map(|node| {
                    let key = node.description.tunnel_key.clone();
                    (node.status.state, node.data_path(), node.mesh_addresses(), key)
                })
            };
            if seen(before) == seen(after) {
                continue;
            }
            let Some(node) = after.or(before) else { continue };
            tables.tasks_on(&node.id).for_each(|task| note_task(&mut all, task));
            for attachment in tables.attachments().by(Index::Node, node.id.as_str()) {
                all.entry(attachment.network.clone()).or_default().attachments.insert(attachment.id.clone());
            }
            if let Some(mesh) = mesh {
                all.entry(mesh.clone()).or_default().nodes.insert(node.id.clone());
            }
        }
    }
    all
}

/// Whether a service is on the routing mesh.
pub(super) fn is_meshed(tables: &Tables) -> bool {
    mesh::network(tables)
        .is_some_and(|network| tables.services().by(Index::Network, network.id.as_str()).next().is_some())
}

impl Topology {
    /// The node's networks that span nodes, as of the last refresh.
    pub(super) fn networks(&self) -> &BTreeSet<NetworkId> {
        &self.networks
    }

    /// All that there is, to be told first.
    pub(super) fn told(&self) -> Vec<AssignmentChange> {
        let services = self.services.values().map(|service| change(service_item(service), false));
        services.chain(self.members.values().map(|member| change(member_item(member), false))).collect()
    }

    /// Makes it what the tables say, and gives what is to be told. `own` are the node's tasks' networks.
    pub(super) fn refresh(&mut self, tables: &Tables, own: BTreeSet<NetworkId>, stale: Stale) -> Vec<AssignmentChange> {
        let mut changes = Vec::new();
        let (mut tasks, mut services, mut nodes) = (stale.tasks, stale.services, stale.nodes);
        let mut attachments = stale.attachments;
        let mesh = mesh::network(tables).map(|network| network.id.clone());
        let come: Vec<NetworkId> =
            own.iter().filter(|id| stale.everything || !self.networks.contains(*id)).cloned().collect();
        if stale.everything {
            for (_, id) in self.members.keys() {
                match (id.strip_prefix(NODE), id.strip_prefix(BY_HAND)) {
                    (Some(node), _) => nodes.extend(node.parse()),
                    (_, Some(attachment)) => attachments.extend(attachment.parse()),
                    _ => tasks.extend(id.parse()),
                }
            }
            services.extend(self.services.keys().map(|(_, service)| service.clone()));
        }
        for network in come {
            tasks.extend(tables.tasks().by(Index::Network, network.as_str()).map(|task| task.id.clone()));
            services.extend(tables.services().by(Index::Network, network.as_str()).map(|service| service.id.clone()));
            let by_hand = tables.attachments().by(Index::Network, network.as_str());
            attachments.extend(by_hand.map(|attachment| attachment.id.clone()));
            if mesh.as_ref() == Some(&network) {
                nodes.extend(tables.nodes().iter().map(|node| node.id.clone()));
            }
        }
        self.networks = own;
        let left = |id: &NetworkId| !self.networks.contains(id);
        let gone: Vec<_> = self.members.keys().filter(|(network, _)| left(network)).cloned().collect();
        for key in gone {
            changes.extend(self.members.remove(&key).map(|member| change(member_item(&member), true)));
        }
        let gone: Vec<_> = self.services.keys().filter(|(network, _)| left(network)).cloned().collect();
        for key in gone {
            changes.extend(self.services.remove(&key).map(|service| change(service_item(&service), true)));
        }
        for id in services {
            let service = tables.services().get(&id);
            for network in &self.networks {
                let now = service.and_then(|service| virtual_service(service, network));
                differ(&mut self.services, (network.clone(), id.clone()), now, service_item, &mut changes);
            }
        }
        for id in tasks {
            let task = tables.tasks().get(&id);
            for network in &self.networks {
                let now = task.and_then(|task| member(tables, task, network));
                differ(&mut self.members, (network.clone(), id.to_string()), now, member_item, &mut changes);
            }
        }
        for id in attachments {
            let attachment = tables.attachments().get(&id);
            for network in &self.networks {
                let now = attachment.filter(|a| a.network == *network).and_then(|a| by_hand(tables, a));
                let key = (network.clone(), format!("{BY_HAND}{id}"));
                differ(&mut self.members, key, now, member_item, &mut changes);
            }
        }
        for id in nodes {
            let Some(network) = mesh.as_ref().filter(|mesh| self.networks.contains(*mesh)) else { break };
            let now = tables.nodes().get(&id).and_then(|node| node_member(tables, node, network));
            differ(&mut self.members, (network.clone(), format!("{NODE}{id}")), now, member_item, &mut changes);
        }
        changes
    }
}

/// A container that is no task.
fn by_hand(tables: &Tables, attachment: &Attachment) -> Option<NetworkMember> {
    let node = tables.get::<Node>(&attachment.node)?;
    if attachment.addresses.is_empty() {
        return None;
    }
    Some(NetworkMember {
        id: format!("{BY_HAND}{}", attachment.id),
        network: attachment.network.clone(),
        node: node.id.clone(),
        node_address: node.data_path()?,
        node_key: key_of(tables, node, &attachment.network),
        addresses: attachment.addresses.clone(),
        names: attachment.names.clone(),
        service: None,
        via: None,
        serving: node.status.state != NodeState::Down,
    })
}

/// A node's own place on the routing mesh.
fn node_member(tables: &Tables, node: &Node, network: &NetworkId) -> Option<NetworkMember> {
    let address = node.mesh_address?;
    Some(NetworkMember {
        id: format!("{NODE}{}", node.id),
        network: network.clone(),
        node: node.id.clone(),
        node_address: node.data_path()?,
        node_key: key_of(tables, node, network),
        addresses: node.mesh_addresses(),
        names: Vec::new(),
        service: None,
        via: Some(address),
        serving: false,
    })
}

/// By which key a node's packets are encrypted, on a network that wants it.
fn key_of(tables: &Tables, node: &Node, network: &NetworkId) -> Option<String> {
    let encrypted = tables.get::<ClusterNetwork>(network).is_some_and(|network| network.is_encrypted());
    node.description.tunnel_key.clone().filter(|_| encrypted)
}

/// Makes one thing what it is now, and notes the difference.
fn differ<K: Ord, V: PartialEq>(
    told: &mut BTreeMap<K, V>,
    key: K,
    now: Option<V>,
    item: impl Fn(&V) -> assignment_change::Item,
    changes: &mut Vec<AssignmentChange>,
) {
    match now {
        None => changes.extend(told.remove(&key).map(|before| change(item(&before), true))),
        Some(now) if told.get(&key) == Some(&now) => {}
        Some(now) => {
            changes.push(change(item(&now), false));
            told.insert(key, now);
        }
    }
}

fn change(item: assignment_change::Item, remove: bool) -> AssignmentChange {
    let action = if remove { assignment_change::Action::Remove } else { assignment_change::Action::Update };
    AssignmentChange { action: action.into(), item: Some(item) }
}

fn member_item(member: &NetworkMember) -> assignment_change::Item {
    assignment_change::Item::NetworkMember(json(member))
}

fn service_item(service: &VirtualService) -> assignment_change::Item {
    assignment_change::Item::VirtualService(json(service))
}

/// The networks that span nodes on which a node has tasks that have not ended.
pub(super) fn networks_of(tables: &Tables, node: &NodeId) -> BTreeSet<NetworkId> {
    let tasks = tables.tasks_on(node).filter(|task| holds_addresses(task) && task.status.state >= TaskState::Assigned);
    let own = tasks.flat_map(|task| task.addresses.iter().map(|given| given.network.clone()));
    // Every node is part of the routing mesh, as soon as a service is on it.
    let mesh = mesh::network(tables).filter(|_| is_meshed(tables)).map(|network| network.id.clone());
    let by_hand = tables.attachments().by(Index::Node, node.as_str()).map(|attachment| attachment.network.clone());
    own.chain(by_hand).chain(mesh).collect()
}

fn on<'a>(given: &'a [NetworkAddresses], network: &NetworkId) -> Option<&'a NetworkAddresses> {
    given.iter().find(|one| one.network == *network)
}

fn virtual_service(service: &Service, network: &NetworkId) -> Option<VirtualService> {
    if let Some(mesh) = service.mesh.as_ref().filter(|mesh| mesh.network == *network) {
        return Some(VirtualService {
            service: service.id.clone(),
            network: network.clone(),
            addresses: Vec::new(),
            names: Vec::new(),
            ports: mesh.ports.clone(),
        });
    }
    let given = on(&service.virtual_ips, network)?;
    Some(VirtualService {
        service: service.id.clone(),
        network: network.clone(),
        addresses: given.addresses.clone(),
        names: given.names.clone(),
        ports: Vec::new(),
    })
}

/// A task as the others on the network see it: from the moment it has a node, so that nobody who hears from
/// it has to look for it; by its names once it runs.
fn member(tables: &Tables, task: &Task, network: &NetworkId) -> Option<NetworkMember> {
    let given = on(&task.addresses, network)?;
    if !holds_addresses(task) || task.status.state < TaskState::Assigned {
        return None;
    }
    let mesh = tables.get::<ClusterNetwork>(network)?.spec.ingress;
    let node = tables.get::<Node>(task.node.as_ref()?)?;
    let service = tables.services().get(&task.service);
    let behind = service.filter(|service| virtual_service(service, network).is_some());
    let status = &task.status;
    let runs = status.state == TaskState::Running;
    let mut names = Vec::new();
    if runs && !mesh {
        names.push(task.name.clone());
        names.extend(given.names.iter().filter(|name| **name != task.name).cloned());
    }
    Some(NetworkMember {
        id: task.id.to_string(),
        network: network.clone(),
        node: node.id.clone(),
        node_address: node.data_path()?,
        node_key: key_of(tables, node, network),
        addresses: given.addresses.clone(),
        names,
        service: behind.map(|service| service.id.clone()),
        via: node.mesh_address.filter(|_| mesh),
        serving: runs
            && matches!(status.health, Health::None | Health::Healthy)
            && task.desired <= TaskState::Running
            // One that is down may come back with its tasks running; until then nobody is sent there.
            && node.status.state != NodeState::Down,
    })
}
