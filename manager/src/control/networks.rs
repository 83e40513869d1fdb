//! Networks that span nodes, as the Engine API asks for them: made, listed, removed.

use std::{collections::BTreeSet, sync::Arc};

use hoist_proto::{
    id::NetworkId,
    protocol::Protocol,
    spec::{Cluster, ClusterNetwork, ENCRYPTED, Meta, NetworkSpec, OVERLAY, Service, encrypted},
};
use hoist_store::{StoreError, Tables};

use super::{Control, ControlError, services};
use crate::{agreement, allocator};

/// The longest name of a network.
const LONGEST: usize = 255;

impl Control {
    /// Every network that spans nodes and is not on its way out.
    pub fn networks(&self) -> Vec<Arc<ClusterNetwork>> {
        self.inner.store.view(|tables| tables.networks().iter().filter(|network| is_kept(network)).cloned().collect())
    }

    /// One network that spans nodes, by id, name or the beginning of its id.
    pub fn network(&self, name: &str) -> Result<Arc<ClusterNetwork>, ControlError> {
        self.inner.store.view(|tables| find(tables, name).cloned())
    }

    /// Makes a network that spans nodes. It is set up on each node when a task there first needs it.
    pub async fn create_network(&self, spec: NetworkSpec) -> Result<NetworkId, ControlError> {
        services::check_name(&spec.name, LONGEST, "network")?;
        let id = NetworkId::random();
        self.inner
            .store
            .update(|tx| {
                if spec.driver != OVERLAY {
                    return Err(ControlError::Refused(format!("driver {:?} does not span nodes", spec.driver)));
                }
                if spec.ingress {
                    let what = "a network for the routing mesh that is made by hand";
                    agreement::require(tx, Protocol::MESH_BY_HAND, what).map_err(ControlError::Precondition)?;
                    may_be_mesh(tx, &spec)?;
                }
                if let Some(value) = spec.options.get(ENCRYPTED).filter(|value| encrypted(value).is_none()) {
                    let reason = format!("driver option {ENCRYPTED}={value:?}: expected true or false");
                    return Err(ControlError::Refused(reason));
                }
                // What cannot be is said now; what is open is filled in by the allocator.
                allocator::plan(tx, &spec, None, 0).map_err(ControlError::Refused)?;
                let network = ClusterNetwork {
                    id: id.clone(),
                    meta: Meta::default(),
                    spec: spec.clone(),
                    project: None,
                    key: None,
                    external: false,
                    removing: false,
                    allocation: None,
                };
                let name = network.spec.name.clone();
                tx.put(network).map_err(|error| match error {
                    StoreError::NameTaken { .. } => {
                        ControlError::Conflict(format!("network with name {name} already exists"))
                    }
                    error => error.into(),
                })
            })
            .await?;
        Ok(id)
    }

    /// Removes a network that no service and no task uses.
    pub async fn remove_network(&self, name: &str) -> Result<Arc<ClusterNetwork>, ControlError> {
        self.inner
            .store
            .update(|tx| {
                let network = find(tx, name)?.clone();
                if network.spec.ingress {
                    let what = "to take the routing mesh's network away";
                    agreement::require(tx, Protocol::MESH_BY_HAND, what).map_err(ControlError::Precondition)?;
                }
                let users = users(tx, &network.id);
                if !users.is_empty() {
                    let users: Vec<String> = users.into_iter().collect();
                    return Err(ControlError::Precondition(format!(
                        "network {} is in use by {}",
                        network.spec.name,
                        users.join(", ")
                    )));
                }
                tx.remove::<ClusterNetwork>(&network.id)?;
                if network.spec.ingress {
                    allocator::mesh::forget(tx)?;
                    if let Some(cluster) = tx.cluster().cloned() {
                        tx.put(Cluster { mesh_by_hand: true, ..(*cluster).clone() })?;
                    }
                }
                Ok(network)
            })
            .await
    }
}

/// The routing mesh has one network, in which nothing is but published ports.
fn may_be_mesh(tables: &Tables, spec: &NetworkSpec) -> Result<(), ControlError> {
    if let Some(there) = tables.networks().iter().find(|network| network.spec.ingress && !network.removing) {
        return Err(ControlError::Precondition(format!("ingress-network ({}) is already present", there.id.short())));
    }
    let refused = |why: &str| Err(ControlError::Refused(format!("a network for the routing mesh {why}")));
    if spec.attachable {
        return refused("cannot be attachable");
    }
    if spec.internal {
        return refused("cannot be internal");
    }
    if !spec.enable_ipv4 {
        return refused("needs IPv4");
    }
    Ok(())
}

fn is_kept(network: &ClusterNetwork) -> bool {
    network.spans_nodes() && !network.removing
}

fn find<'a>(tables: &'a Tables, name: &str) -> Result<&'a Arc<ClusterNetwork>, ControlError> {
    let by_id = name.parse().ok().and_then(|id: NetworkId| tables.networks().get(&id));
    if let Some(network) = by_id.or_else(|| tables.networks().named(name)).filter(|network| is_kept(network)) {
        return Ok(network);
    }
    let begins = |network: &&Arc<ClusterNetwork>| is_kept(network) && network.id.as_str().starts_with(name);
    let mut found = tables.networks().iter().filter(begins);
    match (found.next(), found.next()) {
        (Some(network), None) if !name.is_empty() => Ok(network),
        (Some(_), Some(_)) if !name.is_empty() => {
            Err(ControlError::Ambiguous { kind: "network", name: name.to_owned() })
        }
        _ => Err(ControlError::NoSuchNetwork(name.to_owned())),
    }
}

/// The services on a network, and tasks that are on it still though their service is not any more.
fn users(tables: &Tables, id: &NetworkId) -> BTreeSet<String> {
    let on_it = |service: &&Arc<Service>| {
        service.spec.task.networks.contains(id) || service.mesh.as_ref().is_some_and(|mesh| mesh.network == *id)
    };
    let services = tables.services().iter().filter(on_it);
    let services = services.map(|service| format!("service {}", service.spec.name));
    let tasks = tables.tasks().by(hoist_store::Index::Network, id.as_str());
    let tasks = tasks.filter(|task| !task.status.state.is_final());
    let by_hand = tables.attachments().by(hoist_store::Index::Network, id.as_str());
    let by_hand = by_hand.map(|attachment| {
        let name = attachment.names.first().unwrap_or(&attachment.container);
        format!("container {name}")
    });
    services.chain(by_hand).chain(tasks.map(|task| format!("task {}", task.name))).collect()
}
