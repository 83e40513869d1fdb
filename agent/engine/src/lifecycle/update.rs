//! Changes to a container that exists: name, limits, policy, networks.

use std::sync::Arc;

use hoist_proto::spec::{NetworkAttachment, NetworkMode, Resources, RestartPolicy};
use hoist_runtime::cgroup::{Cgroup, CgroupPath};
use oci_spec::runtime::LinuxResources;

use super::network;
use crate::container::{Handle, Record};
use crate::inner::Inner;
use crate::model::{Status, UpdateOptions};
use crate::spec::{find_blocks, limits};
use crate::{EngineError, Result};

impl Inner {
    pub(crate) async fn rename(&self, name: &str, new: &str) -> Result<()> {
        let handle = self.registry.find(name)?;
        let _op = handle.take().await?;
        let old = handle.record().name.clone();
        let plain = new.strip_prefix('/').unwrap_or(new);
        if plain.is_empty() {
            return Err(EngineError::InvalidParameter("the new name of a container cannot be empty".into()));
        }
        if plain == old {
            return Err(EngineError::InvalidParameter(
                "renaming a container with the same name as its current name".into(),
            ));
        }
        let new = self.registry.reserve(plain, &handle.id)?;
        let mut record = Record::clone(&handle.record());
        record.name.clone_from(&new);
        record.spec.name.clone_from(&new);
        if let Err(error) = handle.rewrite(record) {
            self.registry.release_name(&new, &handle.id);
            return Err(error);
        }
        self.registry.release_name(&old, &handle.id);
        if handle.status().is_up() {
            self.options.networks.rename(handle.id.as_str(), &old, &new).await?;
        }
        self.publish(&handle, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    pub(crate) async fn update(&self, name: &str, options: UpdateOptions) -> Result<Vec<String>> {
        let handle = self.registry.find(name)?;
        let _op = handle.take().await?;
        let mut record = Record::clone(&handle.record());
        if let Some(policy) = options.restart {
            if record.spec.auto_remove && policy != RestartPolicy::No {
                let why = "restart policy cannot be updated because AutoRemove is enabled for the container";
                return Err(EngineError::InvalidParameter(why.into()));
            }
            record.spec.restart = policy;
        }
        merge(&mut record.spec.resources, options.resources.clone());
        let blocks = find_blocks(&record.spec.resources);
        let all = limits(&record.spec.resources, record.spec.oom_kill_disable, &blocks)?;
        if handle.status().is_up() && options.resources != Resources::default() {
            let resources: LinuxResources = serde_json::from_value(all)
                .map_err(|error| EngineError::Internal(format!("the limits are malformed: {error}")))?;
            let path = self.cgroup_path(&record);
            let apply = move || Cgroup::open(&CgroupPath::new(path)?)?.apply(&resources);
            tokio::task::spawn_blocking(apply).await.map_err(|error| EngineError::Internal(error.to_string()))??;
        }
        handle.rewrite(record)?;
        self.publish(&handle, "update", &[]);
        Ok(Vec::new())
    }

    pub(crate) async fn connect_network(&self, name: &str, wish: NetworkAttachment) -> Result<()> {
        let handle = self.registry.find(name)?;
        let _op = handle.take().await?;
        let mut record = Record::clone(&handle.record());
        let network = self.find_network(&wish.network).await?;
        match record.spec.network_mode {
            NetworkMode::Networks if record.spec.networks.is_empty() => {
                record.spec.networks.push(NetworkAttachment { network: network::DEFAULT.into(), ..Default::default() });
            }
            NetworkMode::Networks => {}
            // It was disconnected from its last network, or began with none: its sandbox is its own.
            NetworkMode::None => record.spec.network_mode = NetworkMode::Networks,
            _ => {
                return Err(EngineError::InvalidParameter(
                    "a container that shares another's or the host's network cannot be connected".into(),
                ));
            }
        }
        if self.find_attachment(&record, &network).is_some() {
            return Err(EngineError::Conflict(format!(
                "container {name} is already connected to network {}",
                network.spec.name
            )));
        }
        if handle.status().is_up() {
            let mut requests = [network::connect_request(&record, &wish)?];
            self.ask_wide(&handle, &record, &mut requests).await?;
            let [request] = requests;
            if let Err(error) = self.options.networks.connect(handle.id.as_str(), request).await {
                self.leave_wide(&handle, &network);
                return Err(error.into());
            }
        }
        record.spec.networks.push(wish);
        handle.rewrite(record)?;
        // One that does not run is connected by its start.
        if handle.status().is_up() {
            self.tell_connected(&handle, std::slice::from_ref(&network));
        }
        Ok(())
    }

    pub(crate) async fn disconnect_network(&self, name: &str, network: &str, force: bool) -> Result<()> {
        let handle = match self.registry.find(name) {
            Ok(handle) => handle,
            // What remains of a container that is gone may be disconnected by force.
            Err(_) if force => return Ok(self.options.networks.disconnect(name, network).await?),
            Err(error) => return Err(error),
        };
        let _op = handle.take().await?;
        let network = self.options.networks.inspect(network).await?;
        let mut record = Record::clone(&handle.record());
        if record.spec.networks.is_empty() && record.spec.network_mode == NetworkMode::Networks {
            record.spec.networks.push(NetworkAttachment { network: network::DEFAULT.into(), ..Default::default() });
        }
        let Some(index) = self.find_attachment(&record, &network) else {
            return Err(EngineError::Conflict(format!(
                "container {name} is not connected to network {}",
                network.spec.name
            )));
        };
        record.spec.networks.remove(index);
        if record.spec.networks.is_empty() {
            record.spec.network_mode = NetworkMode::None;
        }
        if handle.status().is_up() {
            self.options.networks.disconnect(handle.id.as_str(), &network.id).await?;
            self.leave_wide(&handle, &network);
        }
        handle.rewrite(record)?;
        self.tell_disconnected(&handle, &network);
        Ok(())
    }

    fn find_attachment(&self, record: &Record, network: &hoist_network::Network) -> Option<usize> {
        record
            .spec
            .networks
            .iter()
            .position(|wish| wish.network == network.spec.name || network.id.starts_with(&wish.network))
    }

    /// Marks a container as well or not for those who look up its name.
    pub(crate) async fn tell_health(self: &Arc<Self>, handle: &Handle, healthy: bool) {
        if handle.status() == Status::Running
            && let Err(error) = self.options.networks.set_healthy(handle.id.as_str(), healthy).await
        {
            tracing::debug!(container = %handle.id, %error, "the name service does not know of a container's health");
        }
    }
}

/// What `new` sets takes the place of what was set.
fn merge(old: &mut Resources, new: Resources) {
    if new.nano_cpus.is_some() {
        (old.cpu_period, old.cpu_quota) = (None, None);
    } else if new.cpu_period.is_some() || new.cpu_quota.is_some() {
        old.nano_cpus = None;
    }
    macro_rules! take {
        ($($field:ident),*) => { $( if new.$field.is_some() { old.$field = new.$field; } )* };
    }
    take!(
        nano_cpus,
        cpu_shares,
        cpu_period,
        cpu_quota,
        cpu_rt_runtime,
        cpu_rt_period,
        cpuset_cpus,
        cpuset_mems,
        memory,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        pids,
        blkio_weight
    );
}
