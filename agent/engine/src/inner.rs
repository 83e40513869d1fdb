//! How an engine is set up, and its parts.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use hoist_device::Devices;
use hoist_image::Images;
use hoist_network::Networks;
use hoist_proto::clock::SharedClock;
use hoist_proto::id::ContainerId;
use hoist_volume::Volumes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::container::{Handle, Registry};
use crate::defaults::ContainerDefaults;
use crate::events::{Actor, EventBus};
use crate::exec::Execs;
use crate::io::Starter;
use crate::metrics::Metrics;
use crate::runtimes::Runtimes;
use crate::secrets::Secrets;
use crate::wide::WideNetworks;

/// How an engine is set up.
#[derive(Clone)]
pub struct EngineOptions {
    /// Containers live in `<data_root>/containers`.
    pub data_root: PathBuf,
    /// Sockets, exit codes and secrets live below; lost with a reboot.
    pub run_root: PathBuf,
    pub images: Images,
    pub networks: Networks,
    pub volumes: Volumes,
    pub devices: Devices,
    pub clock: SharedClock,
    /// The parent of all containers' cgroups.
    pub cgroup_parent: String,
    /// For containers that say nothing themselves.
    pub defaults: ContainerDefaults,
    /// The OCI runtimes beside our own; see [`Engine::set_runtimes`].
    pub runtimes: Runtimes,
    /// Bytes that the build cache may take; the least useful goes first.
    pub build_cache_limit: u64,
}

impl EngineOptions {
    /// The usual settings.
    pub fn new(
        data_root: impl Into<PathBuf>,
        run_root: impl Into<PathBuf>,
        images: Images,
        networks: Networks,
        volumes: Volumes,
    ) -> Self {
        Self {
            data_root: data_root.into(),
            run_root: run_root.into(),
            images,
            networks,
            volumes,
            devices: Devices::default(),
            clock: hoist_proto::clock::system(),
            cgroup_parent: "hoist".into(),
            defaults: ContainerDefaults::default(),
            runtimes: Runtimes::default(),
            build_cache_limit: 20 << 30,
        }
    }
}

/// The parts. Operations are methods of it, each beside its like: `lifecycle`, `exec`, `logs`, `copy`, `query`.
pub(crate) struct Inner {
    pub options: EngineOptions,
    pub events: EventBus,
    pub registry: Registry,
    pub starter: Starter,
    pub execs: Execs,
    pub metrics: Metrics,
    /// What can be named now.
    pub runtimes: RwLock<Arc<Runtimes>>,
    /// Who is asked about networks that span machines.
    pub wide: RwLock<Option<Arc<dyn WideNetworks>>>,
    pub secrets: Secrets,
    /// Everything that goes on beside calls.
    pub tasks: TaskTracker,
    pub closing: CancellationToken,
}

impl Inner {
    pub(crate) fn container_dir(&self, id: &ContainerId) -> PathBuf {
        self.options.data_root.join("containers").join(id.as_str())
    }

    pub(crate) fn run_dir(&self, id: &ContainerId) -> PathBuf {
        self.options.run_root.join("containers").join(id.as_str())
    }

    pub(crate) fn runtimes(&self) -> Arc<Runtimes> {
        self.runtimes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn wide(&self) -> Option<Arc<dyn WideNetworks>> {
        self.wide.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Publishes what happened to a container, with its name, image and labels as Docker does.
    pub(crate) fn publish(&self, handle: &Handle, action: &str, more: &[(&str, String)]) {
        self.events.publish("container", action, actor(handle, more));
    }

    /// Tells of a new image, with a name or not.
    pub(crate) fn image_made(&self, id: &str) {
        let attributes = [("name".to_owned(), id.to_owned())].into();
        self.events.publish("image", "create", Actor { id: id.to_owned(), attributes });
    }
}

/// A container as its events name it.
pub(crate) fn actor(handle: &Handle, more: &[(&str, String)]) -> Actor {
    let record = handle.record();
    let mut attributes = record.effective.labels.clone();
    attributes.insert("name".into(), record.name.clone());
    attributes.insert("image".into(), record.spec.image.clone());
    attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    Actor { id: handle.id.to_string(), attributes }
}
