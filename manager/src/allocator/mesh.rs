//! The routing mesh: its network, the nodes' own addresses on it, and which service has which port.

use std::{collections::BTreeMap, net::IpAddr};

use hoist_proto::{
    id::{NetworkId, NodeId, ServiceId},
    protocol::Protocol as Version,
    spec::{
        ClusterNetwork, EndpointMode, Lifecycle, MeshPort, MeshPorts, Meta, NetworkMode, NetworkSpec, Node, OVERLAY,
        Protocol, Service, ServiceSpec,
    },
};
use hoist_store::{StoreError, Tables, Tx};

use super::{Memory, is_cluster};

/// Docker's name for it.
pub(crate) const NAME: &str = "ingress";
/// Ports for services that leave theirs open, as Docker's cluster has them.
const OPEN: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// The mesh's network, once it is there.
pub(crate) fn network(tables: &Tables) -> Option<&std::sync::Arc<ClusterNetwork>> {
    let usual = tables.networks().named(NAME).filter(|network| network.spec.ingress && !network.removing);
    // One that people made may have any name.
    let by_hand = tables.cluster().is_some_and(|cluster| cluster.mesh_by_hand);
    usual.or_else(|| tables.networks().iter().find(|network| by_hand && network.spec.ingress && !network.removing))
}

/// Whether a service that publishes nothing need not wait for the mesh: nobody has said when there will be one.
pub(super) fn is_left_out(tables: &Tables, spec: Option<&ServiceSpec>) -> bool {
    tables.cluster().is_some_and(|cluster| cluster.mesh_by_hand) && spec.is_none_or(|spec| wanted(spec).is_empty())
}

/// Makes the mesh's network in a cluster that has none.
pub(super) fn ensure(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let Some(cluster) = tx.cluster().filter(|cluster| cluster.pki.is_some() && !cluster.mesh_by_hand) else {
        return Ok(());
    };
    if tx.networks().named(NAME).is_some() {
        return Ok(());
    }
    // A program that knows of one family alone must not be told of the other.
    let enable_ipv6 = cluster.protocol >= Version::MESH_BY_HAND;
    tx.put(ClusterNetwork {
        id: NetworkId::random(),
        meta: Meta::default(),
        spec: NetworkSpec {
            name: NAME.into(),
            driver: OVERLAY.into(),
            ingress: true,
            enable_ipv6,
            ..NetworkSpec::default()
        },
        project: None,
        key: None,
        external: false,
        removing: false,
        allocation: None,
    })
}

/// Takes the mesh's network from the nodes, so that those of another one are given.
pub(crate) fn forget(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let with: Vec<NodeId> =
        tx.nodes().iter().filter(|node| !node.mesh_addresses().is_empty()).map(|node| node.id.clone()).collect();
    for id in with {
        tx.modify::<Node>(&id, |node| (node.mesh_address, node.mesh_address6) = (None, None))?;
    }
    Ok(())
}

/// Gives nodes their own addresses on the mesh's network.
pub(super) fn nodes(tx: &mut Tx<'_>, memory: &mut Memory) -> Result<(), StoreError> {
    let Some(network) = network(tx).filter(|network| network.allocation.is_some()).map(|n| n.id.clone()) else {
        return Ok(());
    };
    let without: Vec<NodeId> =
        tx.nodes().iter().filter(|node| node.mesh_address.is_none()).map(|node| node.id.clone()).collect();
    for id in without {
        match memory.take(&network, id.as_str(), None) {
            Ok(addresses) => {
                tx.modify::<Node>(&id, |node| {
                    node.mesh_address = addresses.iter().find(|address| address.is_ipv4()).copied();
                    node.mesh_address6 = addresses.iter().find_map(|address| match address {
                        IpAddr::V6(v6) => Some(*v6),
                        IpAddr::V4(_) => None,
                    });
                })?;
            }
            Err(why) => tracing::error!(node = %id, "the node has no part in the routing mesh: {why}"),
        }
    }
    Ok(())
}

/// The ports that a definition publishes on every node; `None` for what is left open.
fn wanted(spec: &ServiceSpec) -> Vec<(Protocol, Option<u16>, u16)> {
    let container = &spec.task.container;
    let meshed = container.network_mode == NetworkMode::Networks
        && spec.endpoint_mode == EndpointMode::Vip
        && !spec.mode.is_job()
        && spec.lifecycle != Lifecycle::Removed;
    let ports = container.ports.iter().filter(|port| meshed && port.is_meshed());
    let mut all = Vec::new();
    for port in ports {
        let (first, last) = port.container_port;
        for (offset, target) in (first..=last).enumerate() {
            let published = port.host_port.and_then(|(from, to)| {
                let published = usize::from(from) + offset;
                // A range for one port: the first of it.
                u16::try_from(published).ok().filter(|published| *published <= to)
            });
            all.push((port.protocol, published, target));
        }
    }
    all
}

/// Who has which port of every node.
fn taken(tables: &Tables, but: &ServiceId) -> BTreeMap<(Protocol, u16), String> {
    let mut all = BTreeMap::new();
    for service in tables.services().iter().filter(|service| service.id != *but) {
        let given = service.mesh.iter().flat_map(|mesh| &mesh.ports);
        all.extend(given.map(|port| ((port.protocol, port.published), service.spec.name.clone())));
        // Asked for, and not looked at yet.
        for (protocol, published, _) in wanted(&service.spec) {
            if let Some(published) = published {
                all.entry((protocol, published)).or_insert_with(|| service.spec.name.clone());
            }
        }
    }
    all
}

/// Whether a definition's ports can be had.
///
/// # Errors
/// Names the port and who has it, for people.
pub(crate) fn check(tables: &Tables, id: &ServiceId, spec: &ServiceSpec) -> Result<(), String> {
    if !is_cluster(tables) {
        return Ok(());
    }
    let wanted = wanted(spec);
    if wanted.is_empty() {
        return Ok(());
    }
    let taken = taken(tables, id);
    for (protocol, published, _) in wanted {
        if let Some(other) = published.and_then(|published| taken.get(&(protocol, published))) {
            let port = published.unwrap_or_default();
            return Err(format!("port {port}/{protocol} is already in use by service {other} as an ingress port"));
        }
    }
    Ok(())
}

/// What a service is to have on the mesh; ports that were left open stay what they were.
pub(super) fn ports(tables: &Tables, service: &Service) -> Option<MeshPorts> {
    let wanted = wanted(&service.spec);
    let network = network(tables)?;
    if wanted.is_empty() || !is_cluster(tables) {
        return None;
    }
    let mut taken = taken(tables, &service.id);
    let before = service.mesh.as_ref().map(|mesh| mesh.ports.as_slice()).unwrap_or_default();
    let mut ports: Vec<MeshPort> = Vec::new();
    for (protocol, published, target) in wanted {
        let published = published.or_else(|| {
            let kept = before.iter().find(|port| {
                (port.protocol, port.target) == (protocol, target)
                    && OPEN.contains(&port.published)
                    && !taken.contains_key(&(protocol, port.published))
            });
            let free = || OPEN.clone().find(|port| !taken.contains_key(&(protocol, *port)));
            kept.map(|port| port.published).or_else(free)
        });
        let Some(published) = published.filter(|published| !taken.contains_key(&(protocol, *published))) else {
            tracing::warn!(service = service.spec.name, target, "no port of every node is left for the service");
            continue;
        };
        taken.insert((protocol, published), service.spec.name.clone());
        ports.push(MeshPort { protocol, published, target });
    }
    Some(MeshPorts { network: network.id.clone(), ports })
}
