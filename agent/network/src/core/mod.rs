//! What there is and how it changes: synchronous, one caller at a time.
//!
//! Each change first decides (addresses, names, ports), then acts in as few system calls as the
//! kernel allows, then writes down what is; what fails is taken back.

mod attach;
mod balance;
mod bridge;
mod config;
mod direct;
mod endpoint;
mod mesh;
mod network;
mod overlay;
mod publish;
mod restore;
mod route;
mod secure;
mod sysctl;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::sync::Arc;

use self::overlay::Tunnel;
use crate::dns::{Directory, Server};
use crate::error::{Error, Holder};
use crate::firewall::{Balancer, BridgeRules, Connections, Firewall, Names};
use crate::ipam::Addresses;
use crate::model::Network;
use crate::netlink::{Refusal, Rtnl};
use crate::options::{Options, Pool as AddressPool};
use crate::ports::Ports;
use crate::sandbox::{Pair, Pool, ResolverSockets};
use crate::secure::{PrivateKey, Secure};
use crate::settings::BridgeSettings;
use crate::store::{Record, Store};

/// The networks and containers of one daemon.
pub(crate) struct Core {
    options: Options,
    store: Store,
    rtnl: Rtnl,
    firewall: Firewall,
    /// Opened when it is needed first.
    connections: Option<Connections>,
    networks: BTreeMap<String, Net>,
    containers: HashMap<String, Container>,
    ports: Ports,
    pool: Pool,
    directory: Arc<Directory>,
    mesh: mesh::Mesh,
    /// This machine's own, for encrypted networks.
    key: PrivateKey,
    /// Their way to other machines, as long as there are any.
    secure: Option<Secure>,
    /// Those of an earlier daemon that nobody has told of yet, by their ids.
    untold: BTreeSet<String>,
}

/// A network at work.
struct Net {
    network: Network,
    kind: Kind,
}

enum Kind {
    Bridge(Box<Bridge>),
    /// On a wire of the host's.
    Direct(Box<direct::Direct>),
    Host,
    None,
    /// What others are made from; nothing can be on it.
    Config,
    /// It is written down, but could not be made again; with the reason.
    Unusable(String),
}

struct Bridge {
    settings: BridgeSettings,
    rules: BridgeRules,
    /// The bridge's interface index.
    index: u32,
    /// The host's firewall sees bridged packets too.
    filtered: bool,
    ipv4: Option<Addresses>,
    ipv6: Option<Addresses>,
    /// The way to other machines, on networks that span them.
    tunnel: Option<Tunnel>,
}

/// A container that has something here.
struct Container {
    record: Record,
    live: Option<Live>,
    /// The name server's sockets, until it serves.
    resolver: Option<ResolverSockets>,
}

/// What is open in a container's namespace.
struct Live {
    namespace: Arc<File>,
    rtnl: Rtnl,
    /// A pair that no network uses yet.
    spare: Option<Pair>,
    /// The indexes of interfaces by name, as far as this daemon made them.
    links: HashMap<String, u32>,
    /// The name server; it ends when this is dropped.
    server: Option<Server>,
    /// What leads virtual addresses to their members, once there are any.
    balancer: Option<Balancer>,
}

impl Core {
    /// Opens the sockets and directories; what was there before is found by [`restore`](Self::restore).
    pub(crate) fn open(mut options: Options, directory: Arc<Directory>) -> Result<Self, Error> {
        check_instance(&options.instance)?;
        let store = Store::open(&options.data_root, &options.run_root)?;
        let open = |source: io::Error| Error::Netlink { action: "open a netlink socket".into(), source };
        if !options.pools.iter().any(|p| p.base.is_ipv6()) {
            options.pools.push(own_ipv6_pool(&options));
        }
        let core = Self {
            store,
            rtnl: Rtnl::open().map_err(open)?,
            firewall: Firewall::open(&Names::new(&options.instance)).map_err(open)?,
            connections: None,
            networks: BTreeMap::new(),
            containers: HashMap::new(),
            ports: Ports::new(options.ports, options.relays),
            pool: Pool::start(options.ready_sandboxes).map_err(open)?,
            directory,
            mesh: mesh::Mesh::default(),
            key: PrivateKey::random(),
            secure: None,
            untold: BTreeSet::new(),
            options,
        };
        Ok(core)
    }

    /// The network with this name or id, or the only one whose id begins so.
    fn find(&self, name_or_id: &str) -> Result<&Net, Error> {
        let by_name = self.networks.values().find(|n| n.network.spec.name == name_or_id);
        if let Some(net) = self.networks.get(name_or_id).or(by_name) {
            return Ok(net);
        }
        let mut matches = self.networks.values().filter(|n| n.network.id.starts_with(name_or_id));
        match (matches.next(), matches.next()) {
            (Some(net), None) if !name_or_id.is_empty() => Ok(net),
            (Some(_), Some(_)) if !name_or_id.is_empty() => Err(Error::Ambiguous(name_or_id.to_owned())),
            _ => Err(Error::NotFound(name_or_id.to_owned())),
        }
    }

    pub(crate) fn inspect(&self, name_or_id: &str) -> Result<Network, Error> {
        self.find(name_or_id).map(|n| n.network.clone())
    }

    pub(crate) fn list(&self) -> Vec<Network> {
        let mut all: Vec<_> = self.networks.values().map(|n| n.network.clone()).collect();
        all.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        all
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.containers.values().map(|c| &c.record)
    }

    pub(crate) fn record(&self, container: &str) -> Option<&Record> {
        self.containers.get(container).map(|c| &c.record)
    }

    /// What a container is called, as far as it told us.
    fn name_of(&self, container: &str) -> String {
        let endpoints = self.containers.get(container).map(|c| c.record.endpoints.as_slice()).unwrap_or_default();
        let name = endpoints.iter().find_map(|e| e.request.names.first());
        name.map_or(container, |name| name.as_str()).to_owned()
    }

    /// The same error, with the names of containers for their ids.
    fn with_names(&self, error: Error) -> Error {
        match error {
            Error::PortInUse { address, protocol, holder: Holder::Container(id) } => {
                Error::PortInUse { address, protocol, holder: Holder::Container(self.name_of(&id)) }
            }
            Error::AddressInUse { address, network, holder } => {
                // Not every holder is a container; what is none has no name and stays as it is.
                let holder = if self.containers.contains_key(&holder) {
                    Holder::Container(self.name_of(&holder)).to_string()
                } else {
                    holder
                };
                Error::AddressInUse { address, network, holder }
            }
            other => other,
        }
    }

    /// Writes down what a container has now.
    fn save(&self, container: &str) -> Result<(), Error> {
        self.containers.get(container).map_or(Ok(()), |c| self.store.save_record(&c.record))
    }
}

/// A refusal of the kernel with what was tried.
fn refused(action: impl Into<String>) -> impl FnOnce(Refusal) -> Error {
    let action = action.into();
    move |refusal| Error::Netlink { action, source: refusal.into() }
}

/// The same for a batch, whose position is of no interest to people.
fn refused_batch(action: impl Into<String>) -> impl FnOnce((usize, Refusal)) -> Error {
    let refused = refused(action);
    move |(_, refusal)| refused(refusal)
}

/// The instance becomes part of the default bridge's name, of which the kernel takes 15 characters.
fn check_instance(instance: &str) -> Result<(), Error> {
    if instance.len() <= 8 && instance.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        Ok(())
    } else {
        Err(Error::Instance(instance.to_owned()))
    }
}

fn check_container_id(container: &str) -> Result<(), Error> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if container.len() <= 128
        && container.bytes().all(fits)
        && container.starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        Ok(())
    } else {
        Err(Error::ContainerId(container.to_owned()))
    }
}

fn own_ipv6_pool(options: &Options) -> AddressPool {
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    let seed = [machine.as_slice(), options.instance.as_bytes()].concat();
    crate::ipam::unique_local_pool(&seed)
}
