//! What the cluster gives out: identifiers and subnets of networks that span nodes, virtual addresses of
//! services, and the addresses of tasks.
//!
//! A new task waits here until its networks and volumes are there and it has an address on each network that
//! spans nodes. The loop follows the store, so that a pass costs what has changed. An address is free again
//! when its task has ended, and is given again as late as possible.

mod addresses;
mod memory;
pub(crate) mod mesh;
mod names;
mod subnets;

use hoist_proto::{
    id::{NetworkId, TaskId},
    spec::{Attachment, ClusterNetwork, EndpointMode, Lifecycle, NetworkAddresses, Service, Task, TaskState},
};
use hoist_store::{Store, StoreError, Tables, Tx, Wake};
use tokio_util::sync::CancellationToken;

use memory::Memory;
pub(crate) use subnets::plan;

/// The most tasks of one transaction: more may not fit into one entry of the log.
const BATCH: usize = 2000;

/// Runs until cancelled; an error is the store's.
pub(crate) async fn run(store: Store, cancel: CancellationToken) -> Result<(), StoreError> {
    let (mut memory, mut watch) = store.watch(Memory::of);
    loop {
        if crate::patience::wait_for_log(give(&store, &mut memory).await, "allocator").await?.is_none() {
            // What was taken was not written.
            memory = store.view(Memory::of);
            continue;
        }
        if memory.has_fresh() && !cancel.is_cancelled() {
            continue;
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            wake = watch.next() => match wake {
                Wake::Commits(commits) => commits.iter().for_each(|commit| memory.note(commit)),
                Wake::Resync => memory = store.view(Memory::of),
                Wake::Closed => return Ok(()),
            },
        }
    }
}

#[cfg(test)]
pub(crate) async fn pass(store: &Store) -> Result<(), StoreError> {
    let mut memory = store.view(Memory::of);
    give(store, &mut memory).await
}

/// Gives all that is asked for, in one transaction.
async fn give(store: &Store, memory: &mut Memory) -> Result<(), StoreError> {
    if !memory.has_fresh() {
        return Ok(());
    }
    store
        .update(|tx| {
            networks(tx, memory)?;
            if std::mem::take(&mut memory.nodes) {
                mesh::nodes(tx, memory)?;
            }
            services(tx, memory)?;
            attachments(tx, memory)?;
            let mut tasks = std::mem::take(&mut memory.tasks);
            if tasks.len() > BATCH {
                let nth = tasks.iter().nth(BATCH).cloned();
                memory.tasks = nth.map(|nth| tasks.split_off(&nth)).unwrap_or_default();
            }
            for id in tasks {
                task(tx, memory, &id)?;
            }
            Ok(())
        })
        .await
}

/// Whether networks can span nodes at all: a machine alone has only its own.
fn is_cluster(tables: &Tables) -> bool {
    tables.cluster().is_some_and(|cluster| cluster.pki.is_some())
}

fn networks(tx: &mut Tx<'_>, memory: &mut Memory) -> Result<(), StoreError> {
    if !std::mem::take(&mut memory.networks) || !is_cluster(tx) {
        return Ok(());
    }
    mesh::ensure(tx)?;
    let open = |network: &&std::sync::Arc<ClusterNetwork>| {
        network.spans_nodes() && network.allocation.is_none() && !network.removing
    };
    let open: Vec<_> = tx.networks().iter().filter(open).cloned().collect();
    for network in open {
        match subnets::allocate(tx, &network) {
            Ok(allocation) => {
                memory.problems.remove(&network.id);
                memory.open_network(&network.id, &allocation);
                memory.nodes |= network.spec.ingress;
                tx.modify::<ClusterNetwork>(&network.id, |network| network.allocation = Some(allocation))?;
                // Its services and tasks may have come before it.
                let on_it =
                    |service: &Service| network.spec.ingress || service.spec.task.networks.contains(&network.id);
                let services = tx.services().iter().filter(|service| on_it(service));
                memory.services.extend(services.map(|service| service.id.clone()));
            }
            Err(why) => {
                if memory.problems.insert(network.id.clone(), why.clone()).as_ref() != Some(&why) {
                    tracing::warn!(network = network.spec.name, "a network cannot be set up: {why}");
                }
            }
        }
        memory.tasks.append(&mut memory.waiting);
    }
    Ok(())
}

fn services(tx: &mut Tx<'_>, memory: &mut Memory) -> Result<(), StoreError> {
    for id in std::mem::take(&mut memory.services) {
        let Some(service) = tx.services().get(&id).cloned() else { continue };
        let wanted = virtual_networks(tx, &service);
        let mut given = service.virtual_ips.clone();
        given.retain(|one| {
            let kept = wanted.contains(&one.network);
            if !kept {
                memory.release(&one.network, id.as_str());
            }
            kept
        });
        for network in &wanted {
            let names = names::of_service(&service.spec, network);
            if let Some(there) = given.iter_mut().find(|one| one.network == *network) {
                there.names = names;
                continue;
            }
            match memory.take(network, id.as_str(), None) {
                Ok(addresses) => given.push(NetworkAddresses { network: network.clone(), addresses, names }),
                Err(why) => tracing::warn!(service = service.spec.name, "no virtual address can be given: {why}"),
            }
        }
        let mesh = mesh::ports(tx, &service);
        if given != service.virtual_ips || mesh != service.mesh {
            tx.modify::<Service>(&id, |service| {
                service.virtual_ips = given;
                service.mesh = mesh;
            })?;
        }
    }
    Ok(())
}

fn attachments(tx: &mut Tx<'_>, memory: &mut Memory) -> Result<(), StoreError> {
    for id in std::mem::take(&mut memory.attachments) {
        let Some(attachment) = tx.attachments().get(&id).cloned() else { continue };
        let given = memory.take(&attachment.network, id.as_str(), Some(&attachment.wanted));
        tx.modify::<Attachment>(&id, |attachment| match given {
            Ok(addresses) => attachment.addresses = addresses,
            Err(why) => attachment.message = why,
        })?;
    }
    Ok(())
}

/// The networks on which a service has a virtual address.
fn virtual_networks(tables: &Tables, service: &Service) -> Vec<NetworkId> {
    let spec = &service.spec;
    if spec.endpoint_mode != EndpointMode::Vip || spec.mode.is_job() || spec.lifecycle == Lifecycle::Removed {
        return Vec::new();
    }
    let spans = |id: &&NetworkId| tables.networks().get(id).is_some_and(|n| n.spans_nodes() && n.allocation.is_some());
    spec.task.networks.iter().filter(spans).cloned().collect()
}

fn task(tx: &mut Tx<'_>, memory: &mut Memory, id: &TaskId) -> Result<(), StoreError> {
    let now = tx.now();
    let Some(task) = tx.tasks().get(id).filter(|task| is_new(task)).cloned() else { return Ok(()) };
    let given = match missing(tx, memory, &task) {
        Some(missing) => Err(missing),
        None => task_addresses(tx, memory, &task),
    };
    if let Err(missing) = &given {
        memory.waiting.insert(id.clone());
        if task.status.message == *missing {
            return Ok(());
        }
    }
    tx.modify::<Task>(id, |task| {
        task.status.at = now;
        match given {
            Err(missing) => task.status.message = missing,
            Ok(addresses) => {
                task.addresses = addresses;
                task.status.state = TaskState::Pending;
                task.status.message = "waits for a node".into();
            }
        }
    })
}

/// All of a task's addresses, or none.
fn task_addresses(tables: &Tables, memory: &mut Memory, task: &Task) -> Result<Vec<NetworkAddresses>, String> {
    let mut given: Vec<NetworkAddresses> = Vec::new();
    let service = tables.services().get(&task.service);
    if let Some(mesh) = service.and_then(|service| service.mesh.as_ref()) {
        let addresses = memory.take(&mesh.network, task.id.as_str(), None);
        let addresses = addresses.map_err(|why| format!("waits for an address on the routing mesh: {why}"))?;
        given.push(NetworkAddresses { network: mesh.network.clone(), addresses, names: Vec::new() });
    }
    for (position, id) in task.spec.networks.iter().enumerate() {
        let network = tables.networks().get(id).filter(|network| network.allocation.is_some());
        let Some(network) = network.filter(|network| network.spans_nodes()) else { continue };
        let wanted = task.spec.container.networks.get(position);
        match memory.take(id, task.id.as_str(), wanted) {
            Ok(addresses) => {
                let names = names::of_task(tables, task, position, id);
                given.push(NetworkAddresses { network: id.clone(), addresses, names });
            }
            Err(why) => {
                given.iter().for_each(|one| memory.release(&one.network, task.id.as_str()));
                return Err(format!("waits for an address on network {}: {why}", network.spec.name));
            }
        }
    }
    Ok(given)
}

fn is_new(task: &Task) -> bool {
    task.status.state == TaskState::New && task.desired <= TaskState::Running
}

/// What the task needs and is not there.
fn missing(tables: &Tables, memory: &Memory, task: &Task) -> Option<String> {
    let cluster = is_cluster(tables);
    let service = tables.services().get(&task.service).map(|service| &service.spec);
    if cluster
        && mesh::network(tables).is_none_or(|network| network.allocation.is_none())
        && !mesh::is_left_out(tables, service)
    {
        return Some("waits for the routing mesh".into());
    }
    for id in &task.spec.networks {
        let Some(network) = tables.networks().get(id) else { return Some(format!("waits for network {}", id.short())) };
        if cluster && network.spans_nodes() && network.allocation.is_none() {
            let why = memory.problems.get(id).map(|why| format!(": {why}")).unwrap_or_default();
            return Some(format!("waits for network {}{why}", network.spec.name));
        }
    }
    let id = task.spec.volumes.iter().find(|id| tables.volumes().get(id).is_none())?;
    Some(format!("waits for volume {}", id.short()))
}

/// Whether a task's addresses are still its own: until it has ended, whoever says so.
pub(crate) fn holds_addresses(task: &Task) -> bool {
    !task.addresses.is_empty() && !task.status.state.is_final()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use hoist_proto::{
        id::{ClusterId, NodeId},
        spec::{Cluster, Pki},
    };

    use super::*;
    use crate::testing::World;

    async fn cluster() -> World {
        let world = World::new(2).await;
        let id: ClusterId = world.store.view(|tables| tables.cluster().map(|c| c.id.clone())).unwrap();
        let pki = Pki {
            root: String::new(),
            key: String::new(),
            worker_secret: String::new(),
            manager_secret: String::new(),
            rotation: None,
            unlock_key: None,
        };
        world.store.update(|tx| tx.modify::<Cluster>(&id, |cluster| cluster.pki = Some(pki))).await.unwrap();
        world
    }

    fn all_addresses(world: &World) -> HashMap<String, Vec<String>> {
        world.store.view(|tables| {
            let tasks = tables.tasks().iter().filter(|task| holds_addresses(task));
            let tasks = tasks.flat_map(|task| task.addresses.iter().map(|one| (task.name.clone(), one)));
            let services = tables.services().iter();
            let services = services.flat_map(|s| s.virtual_ips.iter().map(|one| (s.spec.name.clone(), one)));
            let mut all = HashMap::<String, Vec<String>>::new();
            for (holder, one) in tasks.chain(services) {
                all.entry(holder).or_default().extend(one.addresses.iter().map(ToString::to_string));
            }
            all
        })
    }

    const SHOP: &str = "
services:
  web: { image: busybox, deploy: { replicas: 3 } }
  db: { image: busybox, deploy: { endpoint_mode: dnsrr } }
networks:
  default: { driver: overlay, enable_ipv6: true }
";

    #[tokio::test]
    async fn tasks_and_services_get_addresses_and_nobody_the_same() {
        let world = cluster().await;
        world.up(SHOP).await;
        world.settle().await;
        let all = all_addresses(&world);
        let mut flat: Vec<_> = all.values().flatten().cloned().collect();
        assert_eq!(all.len(), 5, "four tasks and one virtual address: {all:?}");
        assert_eq!(flat.len(), 10, "of both families: {all:?}");
        flat.sort();
        flat.dedup();
        assert_eq!(flat.len(), 10, "{all:?}");
        world.store.view(|tables| {
            let network = tables.networks().iter().find(|n| n.spec.driver == "overlay" && !n.spec.ingress).unwrap();
            let allocation = network.allocation.as_ref().unwrap();
            assert_eq!(allocation.pools[0].subnet.as_deref(), Some("10.0.0.0/24"));
            assert_eq!(allocation.pools[0].gateway, Some("10.0.0.1".parse().unwrap()));
            let web =
                tables.tasks().iter().find(|task| task.service_name == "demo_web" || task.service_name == "demo-web");
            let names = &web.unwrap().addresses[0].names;
            assert!(names.contains(&"tasks.web".to_owned()) && !names.contains(&"web".to_owned()), "{names:?}");
            let db = tables.tasks().iter().find(|task| task.service_name.ends_with("db")).unwrap();
            assert!(db.addresses[0].names.contains(&"db".to_owned()), "{:?}", db.addresses);
        });
    }

    #[tokio::test]
    async fn an_address_that_is_full_or_taken_is_waited_for() {
        let world = cluster().await;
        let yaml = "
services:
  web: { image: busybox, deploy: { replicas: 6, endpoint_mode: dnsrr } }
networks:
  default: { driver: overlay, ipam: { config: [{ subnet: 10.7.0.0/29 }] } }
";
        world.up(yaml).await;
        world.settle().await;
        let waiting: Vec<String> = world.store.view(|tables| {
            let new = tables.tasks().iter().filter(|task| task.status.state == TaskState::New);
            new.map(|task| task.status.message.clone()).collect()
        });
        assert_eq!(waiting.len(), 1, "five addresses for six tasks");
        assert!(waiting[0].contains("10.7.0.0/29 has no address left"), "{waiting:?}");
    }

    #[tokio::test]
    async fn a_machine_alone_gives_nothing_out() {
        let world = World::new(1).await;
        world.up(SHOP).await;
        world.settle().await;
        assert!(all_addresses(&world).is_empty());
        let nodes: Vec<Option<NodeId>> =
            world.store.view(|tables| tables.tasks().iter().map(|task| task.node.clone()).collect());
        assert!(nodes.iter().all(Option::is_some));
    }
}
