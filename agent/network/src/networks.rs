//! The door: every call that others may make.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::core::Core;
use crate::dns::Directory;
use crate::error::Error;
use crate::files;
use crate::model::{
    AttachRequest, Attached, ConnectRequest, DnsConfig, Endpoint, Network, NetworkSpec, Overlay, Peer, PortRequest,
    PublishedPort, Sandbox, VirtualService,
};
use crate::options::Options;
use crate::secure::NodeKey;

/// The networks of one daemon. A clone is the same networks.
///
/// Calls are carried out one after the other, each in a few system calls. To be used within a
/// tokio runtime, which also runs the containers' name servers.
#[derive(Clone)]
pub struct Networks {
    core: Arc<Mutex<Core>>,
    _keeper: Arc<Keeper>,
}

/// How often the firewall is looked after.
const LOOK: Duration = Duration::from_secs(10);

/// Ends the task that looks after the firewall with the last clone.
struct Keeper(AbortHandle);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Administrators and tools empty the host's whole ruleset when they load a new one. Isolation and
/// published ports come back by themselves.
async fn keep(core: Weak<Mutex<Core>>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(core) = core.upgrade() else { return };
        blocking(move || core.lock().unwrap_or_else(PoisonError::into_inner).mend()).await;
    }
}

impl Networks {
    /// Finds all that an earlier daemon left and makes what is missing: predefined networks,
    /// bridges, rules, name servers of running containers.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::Corrupt`] for its files, [`Error::Netlink`] from the kernel.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let core = blocking(move || {
            let directory = Arc::new(Directory::new(options.dns.clone()));
            let mut core = Core::open(options, directory)?;
            core.restore().map(|()| core)
        })
        .await?;
        let core = Arc::new(Mutex::new(core));
        let keeper = tokio::spawn(keep(Arc::downgrade(&core)));
        Ok(Self { core, _keeper: Arc::new(Keeper(keeper.abort_handle())) })
    }

    /// Makes a network.
    ///
    /// # Errors
    /// Says what of the specification cannot be; nothing is left behind.
    pub async fn create(&self, spec: NetworkSpec) -> Result<Network, Error> {
        self.with(move |core| core.create(spec)).await
    }

    /// The public key by which other machines encrypt what they send to this one, see [`Peer::key`]. It stays the same
    /// as long as this lives.
    pub async fn node_key(&self) -> NodeKey {
        self.with(|core| core.node_key()).await
    }

    /// Makes this machine's part of a network that spans machines. Subnets and gateways are the
    /// cluster's: the gateways are this machine's own addresses on the network, as on every other.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn create_overlay(&self, spec: NetworkSpec, overlay: Overlay) -> Result<Network, Error> {
        self.with(move |core| core.create_overlay(spec, overlay)).await
    }

    /// Tries again to make a network that could not be made when the daemon started; true when it is new here.
    ///
    /// # Errors
    /// [`Error::NotFound`], and why it still cannot be made.
    pub async fn revive(&self, network: &str) -> Result<bool, Error> {
        let network = network.to_owned();
        self.with(move |core| core.revive(&network)).await
    }

    /// Tells of containers on other machines that came (or changed) and, by their ids, of those that went.
    /// Costs as much as the change, however many there are.
    ///
    /// # Errors
    /// [`Error::Overlay`] when the network does not span machines.
    pub async fn change_peers(&self, network: &str, come: Vec<Peer>, gone: Vec<String>) -> Result<(), Error> {
        let network = network.to_owned();
        self.with(move |core| core.change_peers(&network, come, &gone)).await
    }

    /// Tells of all containers on other machines; who is not among them is gone.
    ///
    /// # Errors
    /// As [`change_peers`](Self::change_peers).
    pub async fn replace_peers(&self, network: &str, all: Vec<Peer>) -> Result<(), Error> {
        let network = network.to_owned();
        self.with(move |core| core.replace_peers(&network, all)).await
    }

    /// Tells of services that came to a network that spans machines (or changed) and, by their ids, of those
    /// that went. New connections to a service's address go to its serving peers in turn; those that exist stay.
    ///
    /// # Errors
    /// As [`change_peers`](Self::change_peers).
    pub async fn change_services(
        &self,
        network: &str,
        come: Vec<VirtualService>,
        gone: Vec<String>,
    ) -> Result<(), Error> {
        let network = network.to_owned();
        self.with(move |core| core.change_services(&network, come, &gone)).await
    }

    /// Tells of all services; which is not among them is gone.
    ///
    /// # Errors
    /// As [`change_peers`](Self::change_peers).
    pub async fn replace_services(&self, network: &str, all: Vec<VirtualService>) -> Result<(), Error> {
        let network = network.to_owned();
        self.with(move |core| core.replace_services(&network, all)).await
    }

    /// Removes a network that no container is on.
    ///
    /// # Errors
    /// [`Error::InUse`] names the containers.
    pub async fn remove(&self, name_or_id: &str) -> Result<Network, Error> {
        let name = name_or_id.to_owned();
        self.with(move |core| core.remove(&name)).await
    }

    /// One network, by name, id or unambiguous prefix of an id.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`].
    pub async fn inspect(&self, name_or_id: &str) -> Result<Network, Error> {
        let name = name_or_id.to_owned();
        self.with(move |core| core.inspect(&name)).await
    }

    /// All networks, by name.
    pub async fn list(&self) -> Vec<Network> {
        self.with(|core| core.list()).await
    }

    /// The containers on a network.
    pub async fn endpoints(&self, network_id: &str) -> Vec<Endpoint> {
        let id = network_id.to_owned();
        self.with(move |core| {
            let all = core.records().flat_map(|r| &r.endpoints).filter(|e| e.network == id);
            let mut all: Vec<Endpoint> = all.cloned().collect();
            all.sort_by(|a, b| a.container.cmp(&b.container));
            all
        })
        .await
    }

    /// The networks that a container is on, in the order of connection.
    pub async fn endpoints_of(&self, container: &str) -> Vec<Endpoint> {
        let container = container.to_owned();
        self.with(move |core| core.record(&container).map(|r| r.endpoints.clone()).unwrap_or_default()).await
    }

    /// The ports that a container has published.
    pub async fn published(&self, container: &str) -> Vec<PublishedPort> {
        let container = container.to_owned();
        self.with(move |core| core.record(&container).map(|r| r.ports.clone()).unwrap_or_default()).await
    }

    /// Sandbox, networks, ports and name service of a container in one go; what fails undoes all.
    /// What an earlier run of the container left is released first.
    ///
    /// # Errors
    /// Those of the single steps.
    pub async fn attach(&self, container: &str, request: AttachRequest) -> Result<Attached, Error> {
        let container = container.to_owned();
        self.with(move |core| core.attach(&container, request)).await
    }

    /// The network namespace that a container got from [`attach`](Self::attach); for others that share it.
    ///
    /// # Errors
    /// [`Error::NoSandbox`].
    pub async fn sandbox(&self, container: &str) -> Result<Sandbox, Error> {
        let container = container.to_owned();
        self.with(move |core| core.sandbox(&container)).await
    }

    /// Puts a container that has a sandbox on a network.
    ///
    /// # Errors
    /// Says what of the request cannot be; nothing is left behind.
    pub async fn connect(&self, container: &str, request: ConnectRequest) -> Result<Endpoint, Error> {
        let container = container.to_owned();
        self.with(move |core| core.connect(&container, request)).await
    }

    /// Takes a container off a network; its other networks may take over the default route and the
    /// published ports.
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub async fn disconnect(&self, container: &str, network: &str) -> Result<(), Error> {
        let (container, network) = (container.to_owned(), network.to_owned());
        self.with(move |core| core.disconnect(&container, &network)).await
    }

    /// Publishes ports, all or none.
    ///
    /// # Errors
    /// [`Error::PortInUse`] names the holder.
    pub async fn publish(&self, container: &str, ports: Vec<PortRequest>) -> Result<Vec<PublishedPort>, Error> {
        let container = container.to_owned();
        self.with(move |core| core.publish(&container, &ports)).await
    }

    /// Gives everything back that the container has: ports, names, addresses, namespace.
    /// A container that has nothing is no error.
    ///
    /// # Errors
    /// The first thing that could not be undone; the rest is undone all the same.
    pub async fn release(&self, container: &str) -> Result<(), Error> {
        let container = container.to_owned();
        self.with(move |core| core.release(&container)).await
    }

    /// Whether the container's names are answered; an unhealthy one's are not as long as a healthy
    /// one has the same name.
    ///
    /// # Errors
    /// [`Error::State`] if it could not be written down.
    pub async fn set_healthy(&self, container: &str, healthy: bool) -> Result<(), Error> {
        let container = container.to_owned();
        self.with(move |core| core.set_healthy(&container, healthy)).await
    }

    /// A container was renamed: `old` is no longer answered, `new` is.
    ///
    /// # Errors
    /// [`Error::State`] if it could not be written down.
    pub async fn rename(&self, container: &str, old: &str, new: &str) -> Result<(), Error> {
        let (container, old, new) = (container.to_owned(), old.to_owned(), new.to_owned());
        self.with(move |core| core.rename(&container, &old, &new)).await
    }

    /// What a container's name server does besides answering names.
    ///
    /// # Errors
    /// [`Error::NoSandbox`].
    pub async fn set_resolver(&self, container: &str, dns: DnsConfig) -> Result<(), Error> {
        let container = container.to_owned();
        self.with(move |core| core.set_resolver(&container, dns)).await
    }

    /// The address of the name server, as a container on any bridge network sees it.
    pub fn resolver_address(&self) -> IpAddr {
        files::RESOLVER
    }

    /// Releases all that belongs to containers not in `live`, and takes down what is in
    /// nobody's name. To be called once after [`open`](Self::open).
    ///
    /// # Errors
    /// The first thing that could not be undone; the rest is undone all the same.
    pub async fn reconcile(&self, live: &[String]) -> Result<(), Error> {
        let live = live.to_vec();
        self.with(move |core| core.reconcile(&live)).await
    }

    /// What a person should know: such as a host's firewall that drops forwarded packets.
    pub async fn warnings(&self) -> Vec<String> {
        self.with(Core::warnings).await
    }

    /// Runs `f` on the core in a thread that may block.
    async fn with<T: Send + 'static>(&self, f: impl FnOnce(&mut Core) -> T + Send + 'static) -> T {
        let core = self.core.clone();
        // A panic in an earlier call is a bug that was reported there; every call leaves the core usable.
        blocking(move || f(&mut core.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(f).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}
