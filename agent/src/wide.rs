//! The node's part of networks that span nodes: made when it is needed, and told who else is on it.

use std::net::IpAddr;

use hoist_proto::{
    id::TaskId,
    spec::{ClusterNetwork, Task},
};

use crate::{overlay, worker::Worker};

impl Worker {
    /// Tells a network that spans nodes, and is new here, who else is on it.
    pub(crate) async fn fill_network(&self, network: &ClusterNetwork) {
        let _telling = self.inner.telling.lock().await;
        let all = self.state().assigned.overlays.of(&network.id);
        overlay::fill(self.inner.engine.networks(), &self.inner.node, &network.spec.name, all).await;
    }

    /// Makes the node part of the routing mesh, tasks or not, as soon as it knows its own place there.
    pub(crate) async fn join_mesh(&self, mesh: &ClusterNetwork) {
        let (own, data_path) = {
            let state = self.state();
            (state.assigned.overlays.own_addresses(&mesh.id, &self.inner.node), state.assigned.overlays.data_path)
        };
        if own.is_empty() || data_path.is_none() {
            return;
        }
        if let Err(error) = self.network(mesh).await {
            tracing::error!(error, "the node cannot be part of the routing mesh");
        }
    }

    /// Where the node's own tunnels end; none while it is no node of many.
    pub(crate) fn data_path(&self) -> Option<IpAddr> {
        self.state().assigned.overlays.data_path
    }

    /// Remembers a network that a container asks for before the dispatcher has told of it.
    pub(crate) fn keep_network(&self, network: &ClusterNetwork) {
        let known = &mut self.state().assigned.networks;
        known.entry(network.id.clone()).or_insert_with(|| network.clone());
    }

    /// Whether callers come to a task by its service's virtual address or ports.
    pub(crate) fn is_called(&self, task: &Task) -> bool {
        self.state().assigned.overlays.is_called(&task.id)
    }

    /// All addresses that were given with a task.
    pub(crate) fn addresses_of_task(&self, id: &str) -> Option<Vec<IpAddr>> {
        let id = id.parse::<TaskId>().ok()?;
        let state = self.state();
        let task = state.assigned.tasks.get(&id)?;
        Some(task.addresses.iter().flat_map(|given| given.addresses.iter().copied()).collect())
    }

    /// Hears the manager's record of the node.
    pub(crate) fn know_node(&self, record: &[u8]) {
        self.state().assigned.overlays.know_node(record);
    }

    /// Makes sure that a network is here, with all who are on it. The error is for people.
    pub(crate) async fn network(&self, network: &ClusterNetwork) -> Result<(), String> {
        let (own, data_path) = {
            let state = self.state();
            let own =
                network.spec.ingress.then(|| state.assigned.overlays.own_addresses(&network.id, &self.inner.node));
            (own.unwrap_or_default(), state.assigned.overlays.data_path)
        };
        let made = self.inner.resources.network(network, data_path, &own).await?;
        if made && network.spans_nodes() {
            self.fill_network(network).await;
        }
        Ok(())
    }
}
