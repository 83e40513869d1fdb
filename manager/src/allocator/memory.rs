//! What the loop keeps between passes, so that a pass costs what has changed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use hoist_proto::{
    id::{AttachmentId, NetworkId, ServiceId, TaskId},
    spec::{
        Attachment, Cluster, ClusterNetwork, ClusterVolume, NetworkAddresses, NetworkAllocation, NetworkAttachment,
        Node, Service, Task,
    },
};
use hoist_store::{Commit, Tables};

use super::{addresses::Pools, holds_addresses, is_new};

/// Follows the store.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pools: HashMap<NetworkId, Pools>,
    /// Networks may want something.
    pub(super) networks: bool,
    /// Nodes may want addresses on the routing mesh's network.
    pub(super) nodes: bool,
    /// Containers that are no tasks and have no address.
    pub(super) attachments: BTreeSet<AttachmentId>,
    /// Services whose virtual addresses are to be looked at.
    pub(super) services: BTreeSet<ServiceId>,
    /// New tasks that have not been looked at since something changed.
    pub(super) tasks: BTreeSet<TaskId>,
    /// New tasks for which something is missing.
    pub(super) waiting: BTreeSet<TaskId>,
    /// Why networks cannot be set up.
    pub(super) problems: BTreeMap<NetworkId, String>,
}

impl Memory {
    pub(crate) fn of(tables: &Tables) -> Self {
        let mut memory = Self { networks: true, nodes: true, ..Self::default() };
        for network in tables.networks().iter() {
            if let Some(allocation) = &network.allocation {
                memory.open_network(&network.id, allocation);
            }
        }
        if let Some(mesh) = super::mesh::network(tables).map(|network| network.id.clone()) {
            for node in tables.nodes().iter() {
                memory.keep_node(&mesh, node);
            }
        }
        for task in tables.tasks().iter() {
            memory.note_task(None, Some(task));
        }
        for attachment in tables.attachments().iter() {
            memory.note_attachment(None, Some(attachment));
        }
        for service in tables.services().iter() {
            memory.note_service(None, Some(service));
        }
        memory
    }

    pub(super) fn has_fresh(&self) -> bool {
        self.networks
            || self.nodes
            || !self.attachments.is_empty()
            || !self.services.is_empty()
            || !self.tasks.is_empty()
    }

    pub(super) fn note(&mut self, commit: &Commit) {
        for event in &commit.events {
            if let Some((before, after)) = event.of::<Task>() {
                self.note_task(before, after);
            } else if let Some((before, after)) = event.of::<Service>() {
                self.note_service(before, after);
            } else if let Some((before, after)) = event.of::<ClusterNetwork>() {
                match (before, after) {
                    (_, Some(network)) => {
                        if let Some(allocation) = &network.allocation {
                            self.open_network(&network.id, allocation);
                        }
                    }
                    (Some(network), None) => {
                        self.pools.remove(&network.id);
                        self.problems.remove(&network.id);
                    }
                    (None, None) => {}
                }
                self.networks = true;
                self.tasks.append(&mut self.waiting);
            } else if let Some((before, after)) = event.of::<Attachment>() {
                self.note_attachment(before, after);
            } else if let Some((before, after)) = event.of::<Node>() {
                self.nodes |= after.is_some_and(|node| node.mesh_address.is_none());
                if let (Some(node), None) = (before, after) {
                    self.pools.values_mut().for_each(|pools| pools.release(node.id.as_str()));
                }
            } else if event.of::<ClusterVolume>().is_some() {
                self.tasks.append(&mut self.waiting);
            } else if let Some((before, after)) = event.of::<Cluster>()
                && before.map(|c| (&c.pki, &c.spec)) != after.map(|c| (&c.pki, &c.spec))
            {
                self.networks = true;
                self.tasks.append(&mut self.waiting);
            }
        }
    }

    fn note_task(&mut self, before: Option<&Arc<Task>>, after: Option<&Arc<Task>>) {
        let Some(id) = after.or(before).map(|task| &task.id) else { return };
        if after.is_some_and(|task| is_new(task)) {
            if !self.waiting.contains(id) {
                self.tasks.insert(id.clone());
            }
        } else {
            self.tasks.remove(id);
            self.waiting.remove(id);
        }
        let held = |task: Option<&Arc<Task>>| task.filter(|task| holds_addresses(task)).cloned();
        match (held(before), held(after)) {
            (_, Some(task)) => self.keep(task.id.as_str(), &task.addresses),
            (Some(task), None) => self.let_go(task.id.as_str(), &task.addresses),
            (None, None) => {}
        }
    }

    fn note_attachment(&mut self, before: Option<&Arc<Attachment>>, after: Option<&Arc<Attachment>>) {
        match (before, after) {
            (_, Some(attachment)) => {
                if let Some(pools) = self.pools.get_mut(&attachment.network) {
                    pools.note(attachment.id.as_str(), &attachment.addresses);
                }
                if attachment.addresses.is_empty() && attachment.message.is_empty() {
                    self.attachments.insert(attachment.id.clone());
                }
            }
            (Some(attachment), None) => {
                self.attachments.remove(&attachment.id);
                if let Some(pools) = self.pools.get_mut(&attachment.network) {
                    pools.release_these(attachment.id.as_str(), &attachment.addresses);
                    self.tasks.append(&mut self.waiting);
                }
            }
            (None, None) => {}
        }
    }

    fn note_service(&mut self, before: Option<&Arc<Service>>, after: Option<&Arc<Service>>) {
        if let Some(service) = before
            && after.is_none_or(|after| after.virtual_ips != service.virtual_ips)
        {
            self.let_go(service.id.as_str(), &service.virtual_ips);
        }
        let Some(service) = after else { return };
        self.keep(service.id.as_str(), &service.virtual_ips);
        self.services.insert(service.id.clone());
    }

    fn keep_node(&mut self, mesh: &NetworkId, node: &Node) {
        if let Some(pools) = self.pools.get_mut(mesh) {
            pools.note(node.id.as_str(), &node.mesh_addresses());
        }
    }

    fn keep(&mut self, holder: &str, given: &[NetworkAddresses]) {
        for one in given {
            if let Some(pools) = self.pools.get_mut(&one.network) {
                pools.note(holder, &one.addresses);
            }
        }
    }

    /// Whoever waits for an address may get one now.
    fn let_go(&mut self, holder: &str, given: &[NetworkAddresses]) {
        for one in given {
            if let Some(pools) = self.pools.get_mut(&one.network) {
                pools.release_these(holder, &one.addresses);
                self.tasks.append(&mut self.waiting);
            }
        }
    }

    pub(super) fn open_network(&mut self, id: &NetworkId, allocation: &NetworkAllocation) {
        self.pools.entry(id.clone()).or_insert_with(|| Pools::of(allocation));
    }

    pub(super) fn take(
        &mut self,
        network: &NetworkId,
        holder: &str,
        wanted: Option<&NetworkAttachment>,
    ) -> Result<Vec<IpAddr>, String> {
        let pools = self.pools.get_mut(network).ok_or_else(|| "it has no subnet yet".to_owned())?;
        pools.take(holder, wanted)
    }

    pub(super) fn release(&mut self, network: &NetworkId, holder: &str) {
        if let Some(pools) = self.pools.get_mut(network) {
            pools.release(holder);
        }
    }
}
