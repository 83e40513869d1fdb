//! Containers that people start on a node, on networks that span nodes.

use std::{net::IpAddr, time::Duration};

use hoist_proto::{
    id::{AttachmentId, NodeId},
    spec::{Attachment, ClusterNetwork, Meta, NetworkAttachment},
    wire::AttachRequest,
};
use hoist_store::{Index, Store, StoreError, Tables, Wake};
use tonic::Status;

use super::unavailable;

/// An allocator that lives gives an address long before this.
const PATIENCE: Duration = Duration::from_secs(10);

/// A network that containers may be put on by hand, by name or id.
pub(super) fn find<'a>(tables: &'a Tables, name: &str) -> Result<Option<&'a ClusterNetwork>, Status> {
    let by_id = name.parse().ok().and_then(|id| tables.networks().get(&id));
    let found = by_id.or_else(|| tables.networks().named(name)).filter(|n| n.spans_nodes() && !n.removing);
    let Some(network) = found else { return Ok(None) };
    if network.spec.attachable {
        return Ok(Some(network));
    }
    Err(Status::permission_denied(format!(
        "network {name} is not manually attachable: make it with --attachable, or run a service on it"
    )))
}

/// Gives a container of a node addresses on a network.
pub(super) async fn attach(store: &Store, node: &NodeId, asked: AttachRequest) -> Result<Vec<IpAddr>, Status> {
    let address = |text: &str| match text {
        "" => Ok(None),
        text => text.parse::<IpAddr>().map(Some).map_err(|error| Status::invalid_argument(error.to_string())),
    };
    let mut wanted = NetworkAttachment { network: asked.network.clone(), ..NetworkAttachment::default() };
    for address in [address(&asked.ipv4)?, address(&asked.ipv6)?].into_iter().flatten() {
        match address {
            IpAddr::V4(v4) => wanted.ipv4 = Some(v4),
            IpAddr::V6(v6) => wanted.ipv6 = Some(v6),
        }
    }
    let network = store.view(|tables| {
        let found = find(tables, &asked.network)?.map(|network| network.id.clone());
        found.ok_or_else(|| Status::not_found(format!("network {} not found", asked.network)))
    })?;
    let id = AttachmentId::random();
    let attachment = Attachment {
        id: id.clone(),
        meta: Meta::default(),
        network,
        node: node.clone(),
        container: asked.container.clone(),
        names: asked.names,
        wanted,
        addresses: Vec::new(),
        message: String::new(),
    };
    // From before the write, so that the answer to it is not missed.
    let ((), mut watch) = store.watch(|_| ());
    let written = store
        .update(|tx| {
            // What an earlier run of the container had, if its end was not heard.
            let same = |other: &Attachment| other.container == asked.container && other.network == attachment.network;
            let old: Vec<AttachmentId> = of_node(tx, node).filter(|other| same(other)).map(|o| o.id.clone()).collect();
            for old in old {
                tx.remove::<Attachment>(&old)?;
            }
            tx.put(attachment)
        })
        .await;
    written.map_err(unavailable)?;
    let answer = async {
        loop {
            let found = store.view(|tables| tables.get::<Attachment>(&id).cloned());
            let Some(found) = found else { return Err("it was taken away again".to_owned()) };
            if !found.addresses.is_empty() {
                return Ok(found.addresses.clone());
            }
            if !found.message.is_empty() {
                return Err(found.message.clone());
            }
            if matches!(watch.next().await, Wake::Closed) {
                return Err("the manager is being stopped".to_owned());
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    match answer.unwrap_or_else(|_| Err("no address was given in time".into())) {
        Ok(addresses) => Ok(addresses),
        Err(why) => {
            remove(store, vec![id]).await.map_err(unavailable)?;
            Err(Status::resource_exhausted(format!("network {}: {why}", asked.network)))
        }
    }
}

fn of_node<'a>(tables: &'a Tables, node: &NodeId) -> impl Iterator<Item = &'a std::sync::Arc<Attachment>> {
    tables.attachments().by(Index::Node, node.as_str())
}

/// A container has left one network, or all when none is named.
pub(super) async fn detach(store: &Store, node: &NodeId, container: &str, network: &str) -> Result<(), StoreError> {
    let gone = store.view(|tables| {
        let named = |attachment: &Attachment| {
            network.is_empty()
                || attachment.network.as_str() == network
                || tables.networks().get(&attachment.network).is_some_and(|n| n.spec.name == network)
        };
        let all = of_node(tables, node).filter(|attachment| attachment.container == container && named(attachment));
        all.map(|attachment| attachment.id.clone()).collect()
    });
    remove(store, gone).await
}

/// Those containers that are still there keep what they have; what others of the node had is free.
pub(super) async fn keep(store: &Store, node: &NodeId, containers: &[String]) -> Result<(), StoreError> {
    let gone = store.view(|tables| {
        let all = of_node(tables, node).filter(|attachment| !containers.contains(&attachment.container));
        all.map(|attachment| attachment.id.clone()).collect()
    });
    remove(store, gone).await
}

async fn remove(store: &Store, gone: Vec<AttachmentId>) -> Result<(), StoreError> {
    if gone.is_empty() {
        return Ok(());
    }
    store
        .update(|tx| {
            for id in gone {
                if tx.get::<Attachment>(&id).is_some() {
                    tx.remove::<Attachment>(&id)?;
                }
            }
            Ok(())
        })
        .await
}
