//! The node's networks that span nodes: who else is on them, as the dispatcher tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use hoist_network::{MeshPort, Networks, NodeKey, Peer};
use hoist_proto::{
    id::{NetworkId, NodeId, TaskId},
    spec::{ClusterNetwork, NetworkMember, Node, Protocol, VirtualService},
};
use serde::{Deserialize, Serialize};

use crate::resources::chain;

/// All that was told; kept on the disk, so that a daemon that starts while no manager answers knows it too.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Overlays {
    /// Where the node's own tunnels end.
    pub(crate) data_path: Option<IpAddr>,
    members: BTreeMap<String, NetworkMember>,
    services: BTreeMap<String, VirtualService>,
}

/// What one message changes, by network.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    of: BTreeMap<NetworkId, Change>,
    seen: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Change {
    come: Vec<NetworkMember>,
    gone: Vec<String>,
    services: Vec<VirtualService>,
    services_gone: Vec<String>,
}

fn member_key(member: &NetworkMember) -> String {
    format!("{}/{}", member.network, member.id)
}

fn service_key(service: &VirtualService) -> String {
    format!("{}/service/{}", service.network, service.service)
}

impl Overlays {
    /// Hears what the dispatcher says of the node itself.
    pub(crate) fn know_node(&mut self, record: &[u8]) {
        if let Ok(node) = serde_json::from_slice::<Node>(record) {
            self.data_path = node.data_path();
        }
    }

    pub(crate) fn take_member(&mut self, member: NetworkMember, remove: bool, changes: &mut Changes) {
        let key = member_key(&member);
        let change = changes.of.entry(member.network.clone()).or_default();
        if remove {
            self.members.remove(&key);
            change.gone.push(member.id);
        } else {
            changes.seen.insert(key.clone());
            change.come.push(member.clone());
            self.members.insert(key, member);
        }
    }

    pub(crate) fn take_service(&mut self, service: VirtualService, remove: bool, changes: &mut Changes) {
        let key = service_key(&service);
        let change = changes.of.entry(service.network.clone()).or_default();
        if remove {
            self.services.remove(&key);
            change.services_gone.push(service.service.to_string());
        } else {
            changes.seen.insert(key.clone());
            change.services.push(service.clone());
            self.services.insert(key, service);
        }
    }

    /// After a complete set: what was not in it is gone.
    pub(crate) fn forget_unseen(&mut self, changes: &mut Changes) {
        let Changes { of, seen } = changes;
        self.members.retain(|key, member| {
            let kept = seen.contains(key);
            if !kept {
                of.entry(member.network.clone()).or_default().gone.push(member.id.clone());
            }
            kept
        });
        self.services.retain(|key, service| {
            let kept = seen.contains(key);
            if !kept {
                of.entry(service.network.clone()).or_default().services_gone.push(service.service.to_string());
            }
            kept
        });
    }

    pub(crate) fn forget_all(&mut self) {
        self.members.clear();
        self.services.clear();
    }

    /// The node's own addresses on the routing mesh's network; none before it has heard of them.
    pub(crate) fn own_addresses(&self, mesh: &NetworkId, node: &NodeId) -> Vec<IpAddr> {
        self.members.get(&format!("{mesh}/node-{node}")).map(|member| member.addresses.clone()).unwrap_or_default()
    }

    /// Whether a task of this node stands behind a virtual address or a published port.
    pub(crate) fn is_called(&self, task: &TaskId) -> bool {
        self.members.values().any(|member| member.id == task.as_str() && member.service.is_some())
    }

    /// All of one network.
    pub(crate) fn of(&self, network: &NetworkId) -> (Vec<NetworkMember>, Vec<VirtualService>) {
        let members = self.members.values().filter(|member| member.network == *network).cloned().collect();
        let services = self.services.values().filter(|service| service.network == *network).cloned().collect();
        (members, services)
    }
}

/// A member as the network's own words have it. The node's own containers are known better by the engine.
fn peer(member: NetworkMember, own: &NodeId) -> Peer {
    let key = member.node_key.as_deref().and_then(|text| {
        let key = text.parse::<NodeKey>();
        key.inspect_err(|error| tracing::error!(%error, node = %member.node, "nothing is sent there")).ok()
    });
    Peer {
        id: member.id,
        node: (member.node != *own).then_some(member.node_address),
        key,
        mac: None,
        addresses: member.addresses,
        names: member.names,
        service: member.service.map(|service| service.to_string()),
        via: member.via,
        serving: member.serving,
    }
}

fn virtual_service(service: VirtualService) -> hoist_network::VirtualService {
    hoist_network::VirtualService {
        id: service.service.to_string(),
        addresses: service.addresses,
        names: service.names,
        ports: service.ports.into_iter().map(mesh_port).collect(),
    }
}

fn mesh_port(port: hoist_proto::spec::MeshPort) -> MeshPort {
    MeshPort {
        protocol: match port.protocol {
            Protocol::Tcp => hoist_network::Protocol::Tcp,
            Protocol::Udp => hoist_network::Protocol::Udp,
            Protocol::Sctp => hoist_network::Protocol::Sctp,
        },
        published: port.published,
        target: port.target,
    }
}

/// Makes the difference known to those networks that are here.
pub(crate) async fn apply(
    networks: &Networks,
    own: &NodeId,
    known: &BTreeMap<NetworkId, ClusterNetwork>,
    changes: Changes,
) {
    for (id, change) in changes.of {
        let Some(name) = known.get(&id).map(|record| record.spec.name.as_str()) else { continue };
        let services = change.services.into_iter().map(virtual_service).collect();
        let told = networks.change_services(name, services, change.services_gone).await;
        note(name, told);
        let peers = change.come.into_iter().map(|member| peer(member, own)).collect();
        note(name, networks.change_peers(name, peers, change.gone).await);
    }
}

/// Tells a network that is new here, or that an earlier daemon made, all that is known.
pub(crate) async fn fill(
    networks: &Networks,
    own: &NodeId,
    name: &str,
    (members, services): (Vec<NetworkMember>, Vec<VirtualService>),
) {
    let services = services.into_iter().map(virtual_service).collect();
    note(name, networks.replace_services(name, services).await);
    let peers = members.into_iter().map(|member| peer(member, own)).collect();
    note(name, networks.replace_peers(name, peers).await);
}

fn note(network: &str, told: Result<(), hoist_network::Error>) {
    match told {
        // No task of this node has needed it yet.
        Ok(()) | Err(hoist_network::Error::NotFound(_) | hoist_network::Error::Overlay { .. }) => {}
        Err(error) => tracing::error!(network, "the network's far side is not all known: {}", chain(&error)),
    }
}
