//! The cluster's networks and volumes, made on this node when a task first needs them, and removed
//! when their records go.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use hoist_engine::Engine;
use hoist_network::Overlay;
use hoist_proto::{
    id::{NetworkId, VolumeId},
    spec::{ClusterNetwork, ClusterVolume, ENCRYPTED, OVERLAY},
};
use tokio::sync::{Mutex, Notify};

use crate::progress::Progress;

const PROJECT: &str = "com.docker.compose.project";
const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// How long a network that is to be replaced may still be in use.
const REPLACED: Duration = Duration::from_secs(60);

/// The node's networks and volumes. Clones are the same.
#[derive(Clone)]
pub(crate) struct Resources {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    progress: Progress,
    /// One at a time, so that ten tasks of one network make it once.
    making: Mutex<Pending>,
    /// A container was removed: what was in use may be free now.
    freed: Notify,
}

/// Networks whose record is gone and that containers still hold.
#[derive(Default)]
struct Pending {
    networks: BTreeMap<NetworkId, ClusterNetwork>,
    volumes: BTreeMap<VolumeId, ClusterVolume>,
}

impl Resources {
    pub(crate) fn new(engine: Engine, progress: Progress) -> Self {
        let inner = Inner { engine, progress, making: Mutex::default(), freed: Notify::new() };
        Self { inner: Arc::new(inner) }
    }

    /// Makes sure that the network is here, and says whether it is new; `data_path` is where the node's tunnels
    /// end, `own` its own addresses on the routing mesh's network. The error is for people.
    pub(crate) async fn network(
        &self,
        record: &ClusterNetwork,
        data_path: Option<IpAddr>,
        own: &[IpAddr],
    ) -> Result<bool, String> {
        let name = &record.spec.name;
        let deadline = tokio::time::Instant::now() + REPLACED;
        loop {
            let freed = self.inner.freed.notified();
            let holder = {
                let _making = self.inner.making.lock().await;
                match self.try_network(record, data_path, own).await? {
                    Found::There => return Ok(false),
                    Found::Made => return Ok(true),
                    Found::Held(holder) => holder,
                }
            };
            // The containers of the network that this one replaces are on their way out.
            if tokio::time::timeout_at(deadline, freed).await.is_err() {
                return Err(format!("network {name} cannot be replaced: {holder}"));
            }
        }
    }

    /// Gives who holds the name, when it is a network that this one replaces.
    async fn try_network(
        &self,
        record: &ClusterNetwork,
        data_path: Option<IpAddr>,
        own: &[IpAddr],
    ) -> Result<Found, String> {
        let networks = self.inner.engine.networks();
        let name = &record.spec.name;
        let there = match networks.inspect(name).await {
            Ok(there) => Some(there),
            Err(hoist_network::Error::NotFound(_)) => None,
            Err(error) => return Err(chain(&error)),
        };
        let overlay = overlay(record, data_path);
        let label = |key: &str| there.as_ref().and_then(|there| there.spec.labels.get(key).cloned());
        match (&there, record.external) {
            (Some(_), true) => return Ok(Found::There),
            (None, true) => return Err(format!("network {name} is declared as external, and does not exist")),
            (Some(_), false) if label(PROJECT).as_ref() != record.project.as_ref() => {
                return Err(format!(
                    "network {name} exists, and was not made for this project; declare it as external"
                ));
            }
            (Some(there), false)
                if label(CONFIG_HASH).as_ref() == record.spec.labels.get(CONFIG_HASH) && there.overlay == overlay =>
            {
                // After a start of the machine its links may have come later than the daemon.
                return match networks.revive(name).await {
                    Ok(true) => Ok(Found::Made),
                    Ok(false) => Ok(Found::There),
                    Err(error) => Err(format!("network {name}: {}", chain(&error))),
                };
            }
            (Some(_), false) => match networks.remove(name).await {
                Ok(_) | Err(hoist_network::Error::NotFound(_)) => {}
                Err(error @ hoist_network::Error::InUse { .. }) => return Ok(Found::Held(error.to_string())),
                Err(error) => return Err(chain(&error)),
            },
            (None, false) => {}
        }
        let resource = format!("Network {name}");
        self.inner.progress.resource(&resource, "Creating", None);
        let mut spec = network_spec(record, overlay.is_some())?;
        if record.spec.ingress {
            if own.is_empty() {
                return Err("the node has no address on the routing mesh yet".to_owned());
            }
            for own in own {
                let mut pools = spec.ipam.config.iter_mut();
                if let Some(pool) = pools.find(|pool| pool.subnet.is_some_and(|subnet| subnet.contains(*own))) {
                    pool.gateway = Some(*own);
                }
            }
            if !has_ipv6() {
                // Every node takes part, and one whose kernel has no IPv6 by IPv4 alone.
                spec.enable_ipv6 = false;
                spec.ipam.config.retain(|pool| pool.subnet.is_none_or(|subnet| !subnet.is_ipv6()));
            }
        }
        let made = match overlay {
            Some(overlay) => networks.create_overlay(spec, overlay).await,
            None => networks.create(spec).await,
        };
        match made {
            Ok(_) => {
                self.inner.progress.resource(&resource, "Created", None);
                Ok(Found::Made)
            }
            Err(error) => {
                let error = format!("network {name}: {}", chain(&error));
                self.inner.progress.resource(&resource, "Error", Some(error.clone()));
                Err(error)
            }
        }
    }

    /// Makes sure that the volume is here. The error is for people.
    pub(crate) async fn volume(&self, record: &ClusterVolume) -> Result<(), String> {
        let _making = self.inner.making.lock().await;
        let (volumes, record) = (self.inner.engine.volumes().clone(), record.clone());
        let progress = self.inner.progress.clone();
        let made = tokio::task::spawn_blocking(move || {
            let name = &record.spec.name;
            match volumes.inspect(name) {
                Ok(_) => return Ok(()),
                Err(hoist_volume::Error::NotFound(_)) if record.external => {
                    return Err(format!("volume {name} is declared as external, and does not exist"));
                }
                Err(hoist_volume::Error::NotFound(_)) => {}
                Err(error) => return Err(format!("volume {name}: {}", chain(&error))),
            }
            let resource = format!("Volume {name}");
            progress.resource(&resource, "Creating", None);
            match volumes.create(record.spec.clone()) {
                Ok(_) => {
                    progress.resource(&resource, "Created", None);
                    Ok(())
                }
                Err(error) => {
                    let error = format!("volume {name}: {}", chain(&error));
                    progress.resource(&resource, "Error", Some(error.clone()));
                    Err(error)
                }
            }
        });
        made.await.unwrap_or_else(|_| Err("making the volume was cut off".into()))
    }

    /// Removes a network whose record is gone; at once, or when the last container has left it.
    pub(crate) async fn drop_network(&self, record: ClusterNetwork) {
        if record.external {
            return;
        }
        let mut pending = self.inner.making.lock().await;
        self.inner.progress.resource(&format!("Network {}", record.spec.name), "Removing", None);
        self.try_drop_network(&mut pending, record, true).await;
    }

    async fn try_drop_network(&self, pending: &mut Pending, record: ClusterNetwork, first: bool) {
        let name = record.spec.name.clone();
        let resource = format!("Network {name}");
        let networks = self.inner.engine.networks();
        let there = networks.inspect(&name).await;
        let ours = there.as_ref().is_ok_and(|there| {
            there.spec.labels.get(PROJECT) == record.project.as_ref()
                && there.spec.labels.get(CONFIG_HASH) == record.spec.labels.get(CONFIG_HASH)
                && there.overlay.map(|overlay| overlay.vni) == record.allocation.as_ref().map(|given| given.vni)
        });
        // Another network may have taken the name meanwhile.
        let removed = if ours { networks.remove(&name).await.map(|_| ()) } else { Ok(()) };
        match removed {
            Ok(()) | Err(hoist_network::Error::NotFound(_)) => self.inner.progress.resource(&resource, "Removed", None),
            Err(error) => {
                if first {
                    self.inner.progress.resource(&resource, "Error", Some(chain(&error)));
                }
                pending.networks.insert(record.id.clone(), record);
            }
        }
    }

    /// Removes a volume, with its data, whose record is gone.
    pub(crate) async fn drop_volume(&self, record: ClusterVolume) {
        if record.external {
            return;
        }
        let mut pending = self.inner.making.lock().await;
        self.inner.progress.resource(&format!("Volume {}", record.spec.name), "Removing", None);
        self.try_drop_volume(&mut pending, record, true).await;
    }

    async fn try_drop_volume(&self, pending: &mut Pending, record: ClusterVolume, first: bool) {
        let (volumes, name) = (self.inner.engine.volumes().clone(), record.spec.name.clone());
        let resource = format!("Volume {name}");
        let removed = tokio::task::spawn_blocking(move || volumes.remove(&name)).await;
        match removed {
            Ok(Ok(()) | Err(hoist_volume::Error::NotFound(_))) => {
                self.inner.progress.resource(&resource, "Removed", None);
            }
            Ok(Err(error)) => {
                if first {
                    self.inner.progress.resource(&resource, "Error", Some(chain(&error)));
                }
                pending.volumes.insert(record.id.clone(), record);
            }
            Err(_) => drop(pending.volumes.insert(record.id.clone(), record)),
        }
    }

    /// A container has gone: tries again what it may have held.
    pub(crate) async fn container_gone(&self) {
        let mut pending = self.inner.making.lock().await;
        for (_, record) in std::mem::take(&mut pending.networks) {
            self.try_drop_network(&mut pending, record, false).await;
        }
        for (_, record) in std::mem::take(&mut pending.volumes) {
            self.try_drop_volume(&mut pending, record, false).await;
        }
        drop(pending);
        self.inner.freed.notify_waiters();
    }
}

/// Whether this machine's kernel has IPv6.
pub(crate) fn has_ipv6() -> bool {
    std::path::Path::new("/proc/sys/net/ipv6").exists()
}

/// How a network was found.
enum Found {
    There,
    Made,
    /// An older one of its name is still in use, by whom.
    Held(String),
}

/// How the node takes part in a network that spans nodes; a machine alone has a bridge of its own instead.
fn overlay(record: &ClusterNetwork, data_path: Option<IpAddr>) -> Option<Overlay> {
    let (allocation, local) = record.allocation.as_ref().zip(data_path)?;
    Some(Overlay { vni: allocation.vni, port: allocation.port, local, mesh: record.spec.ingress })
}

/// The engine's own form of a network's definition.
fn network_spec(record: &ClusterNetwork, overlay: bool) -> Result<hoist_network::NetworkSpec, String> {
    let spec = &record.spec;
    let pools = record.allocation.as_ref().filter(|_| overlay).map_or(&spec.ipam.pools, |given| &given.pools);
    let subnet = |what: &str, text: &Option<String>| match text {
        Some(text) => {
            text.parse().map(Some).map_err(|_| format!("network {}: {what} {text:?} is not a subnet", spec.name))
        }
        None => Ok(None),
    };
    let mut config = Vec::new();
    for pool in pools {
        config.push(hoist_network::IpamConfig {
            subnet: subnet("subnet", &pool.subnet)?,
            ip_range: subnet("ip_range", &pool.ip_range)?,
            gateway: pool.gateway,
            aux_addresses: pool.aux_addresses.clone(),
        });
    }
    let mut options = spec.options.clone();
    if spec.driver == OVERLAY && !overlay {
        // Nothing leaves the machine.
        options.remove(ENCRYPTED);
    }
    let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
    Ok(hoist_network::NetworkSpec {
        name: spec.name.clone(),
        driver: match spec.driver.as_str() {
            "" => "bridge".to_owned(),
            OVERLAY if !overlay => "bridge".to_owned(),
            driver => driver.to_owned(),
        },
        internal: spec.internal,
        attachable: spec.attachable,
        ingress: spec.ingress,
        enable_ipv4: spec.enable_ipv4,
        enable_ipv6: spec.enable_ipv6,
        ipam: hoist_network::IpamSpec {
            driver: or(&spec.ipam.driver, "default"),
            options: spec.ipam.options.clone(),
            config,
        },
        options,
        labels: spec.labels.clone(),
        ..hoist_network::NetworkSpec::default()
    })
}

/// An error with all its causes in one line, none twice.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
