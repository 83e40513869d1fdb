//! What can go wrong with a network, in words for the person who asked.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::model::{PortRange, Protocol};
use crate::subnet::Subnet;

/// Who holds something that another wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Another container, by name, or by id when it has none.
    Container(String),
    /// A process of the host.
    Process {
        /// Its process id.
        pid: i32,
        /// Its command name.
        name: String,
    },
    /// The kernel says it is taken; by whom cannot be found out.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(name) => write!(f, "container {}", short(name)),
            Self::Process { pid, name } => write!(f, "process {name} (pid {pid})"),
            Self::Unknown => f.write_str("a process that cannot be identified"),
        }
    }
}

/// A name as it is; of an id as much as people are shown elsewhere.
pub(crate) fn short(name_or_id: &str) -> &str {
    let is_id = name_or_id.len() == 64 && name_or_id.bytes().all(|b| b.is_ascii_hexdigit());
    if is_id { &name_or_id[..12] } else { name_or_id }
}

/// Everything that a call of [`Networks`](crate::Networks) can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No network has this name or id.
    #[error("network {0} not found")]
    NotFound(String),
    /// The prefix fits several ids.
    #[error("network {0} is ambiguous: several ids begin with it")]
    Ambiguous(String),
    /// A network of this name exists.
    #[error("network with name {0} already exists")]
    Exists(String),
    /// One of `bridge`, `host`, `none`.
    #[error("{0} is a pre-defined network and cannot be {1}")]
    Predefined(String, &'static str),
    /// Containers are connected.
    #[error("network {name} is in use by {}", containers.join(", "))]
    InUse {
        /// The network.
        name: String,
        /// The names (or ids) of its containers.
        containers: Vec<String>,
    },
    /// A name that cannot be used.
    #[error("invalid network name {0:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed")]
    Name(String),
    /// A driver that does not exist.
    #[error("network driver {0:?} is not supported: use bridge, macvlan, ipvlan, host or none")]
    Driver(String),
    /// A network that is only a configuration, or is to be made from one, in a way that cannot be.
    #[error("network {network}: {reason}")]
    Config {
        /// The network that was asked for.
        network: String,
        /// Why.
        reason: String,
    },
    /// Nothing can be on a network that is only a configuration.
    #[error("no container can be on network {0}: it is a configuration that networks are made from")]
    ConfigOnly(String),
    /// This machine's part of an overlay cannot be made.
    #[error("network {network} cannot span machines here: {reason}")]
    Overlay {
        /// The network.
        network: String,
        /// Why not.
        reason: String,
    },
    /// An IPAM driver that does not exist.
    #[error("address management driver {0:?} is not supported: use default")]
    IpamDriver(String),
    /// A driver option that is unknown or has a bad value.
    #[error("driver option {option}={value:?}: {reason}")]
    DriverOption {
        /// The option.
        option: String,
        /// Its value.
        value: String,
        /// What is wrong.
        reason: String,
    },
    /// A subnet, range, gateway or other part of the address plan does not fit.
    #[error("invalid address plan: {0}")]
    Plan(String),
    /// The subnet is used by another network.
    #[error("subnet {subnet} overlaps {other} of network {network}")]
    Overlap {
        /// The subnet asked for.
        subnet: Subnet,
        /// The one that exists.
        other: Subnet,
        /// Its network.
        network: String,
    },
    /// The subnet is used by the host.
    #[error("subnet {subnet} overlaps the host's route {route} on {interface}")]
    OverlapRoute {
        /// The subnet asked for.
        subnet: Subnet,
        /// The route.
        route: Subnet,
        /// The interface of the route.
        interface: String,
    },
    /// All default pools are taken.
    #[error("no free {0} subnet is left in the default address pools: give one, or remove unused networks")]
    PoolsExhausted(&'static str),
    /// All addresses of a network are taken.
    #[error("network {network} has no free address left in {range}")]
    AddressesExhausted {
        /// The network.
        network: String,
        /// Where addresses are taken from.
        range: Subnet,
    },
    /// A static address that another has.
    #[error("address {address} on network {network} is already in use by {holder}")]
    AddressInUse {
        /// The address.
        address: IpAddr,
        /// The network.
        network: String,
        /// Who has it.
        holder: String,
    },
    /// A static address outside the subnet, or on a network without that family.
    #[error("address {address} cannot be used on network {network}: {reason}")]
    Address {
        /// The address.
        address: IpAddr,
        /// The network.
        network: String,
        /// Why.
        reason: String,
    },
    /// The container is on the network already.
    #[error("container {container} is already connected to network {network}")]
    AlreadyConnected {
        /// The container.
        container: String,
        /// The network.
        network: String,
    },
    /// The container is not on the network.
    #[error("container {container} is not connected to network {network}")]
    NotConnected {
        /// The container.
        container: String,
        /// The network.
        network: String,
    },
    /// `host` and `none` exclude other networks.
    #[error("network {network} cannot be combined with another network ({container})")]
    Exclusive {
        /// The container.
        container: String,
        /// The network.
        network: String,
    },
    /// A network of an earlier daemon could not be made again.
    #[error("network {network} is not usable: {reason}")]
    Unusable {
        /// The network.
        network: String,
        /// What was wrong when the daemon started.
        reason: String,
    },
    /// The host's network is a container's from its beginning to its end.
    #[error("container {0} cannot be connected to the host's network: it is chosen when a container is made")]
    HostNetwork(String),
    /// The container has no sandbox.
    #[error("container {0} has no network namespace")]
    NoSandbox(String),
    /// An interface name that exists or cannot exist.
    #[error("interface name {name:?} cannot be used: {reason}")]
    Interface {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The port is taken.
    #[error("port {address}/{protocol} is already in use by {holder}")]
    PortInUse {
        /// Address and port.
        address: SocketAddr,
        /// Protocol.
        protocol: Protocol,
        /// Who has it.
        holder: Holder,
    },
    /// All ports of a range are taken.
    #[error("no port is free in {range}/{protocol}")]
    PortsExhausted {
        /// The range.
        range: PortRange,
        /// Protocol.
        protocol: Protocol,
    },
    /// Host and container ranges do not fit each other.
    #[error("host ports {host} do not fit container ports {container}: ranges must have the same length")]
    PortRanges {
        /// Host ports.
        host: PortRange,
        /// Container ports.
        container: PortRange,
    },
    /// The address to publish on is not an address of this host.
    #[error("address {0} is not an address of this host")]
    HostAddress(IpAddr),
    /// A port cannot be published on an address of a family that the container lacks.
    #[error("a port of container {container} cannot be published on {host}: the container has no {family} address")]
    NoAddressOfFamily {
        /// The container.
        container: String,
        /// The host's address.
        host: IpAddr,
        /// The family.
        family: &'static str,
    },
    /// The kernel drops what comes back for `::1`, and nobody carries it for this protocol.
    #[error("a port of protocol {0} cannot be published on ::1: the kernel does not translate it; use 127.0.0.1")]
    HostLoopback6(Protocol),
    /// The kernel refused a socket that would hold a port.
    #[error("{action}")]
    Reserve {
        /// What was tried.
        action: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// `host` and `none` exist once.
    #[error("there is only one network of driver {0}")]
    Single(String),
    /// The name of the instance cannot become part of an interface's name.
    #[error("invalid instance {0:?}: at most 8 letters, digits and _ are allowed")]
    Instance(String),
    /// An id that cannot be a file's name.
    #[error("invalid container id {0:?}")]
    ContainerId(String),
    /// The container is on no network that ports can be published through.
    #[error("ports of container {0} cannot be published: it is on no bridge network that leads out")]
    NotPublishable(String),
    /// Not `tcp`, `udp` or `sctp`.
    #[error("protocol {0:?} is not supported: use tcp, udp or sctp")]
    Protocol(String),
    /// Not an Ethernet address of a station.
    #[error("invalid MAC address {0:?}")]
    Mac(String),
    /// Not `address/length`.
    #[error("invalid subnet {0:?}")]
    Subnet(String),
    /// The kernel refused a netlink request.
    #[error("{action}")]
    Netlink {
        /// What was tried, with the names of what it was tried on.
        action: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A namespace could not be made, entered or pinned.
    #[error("network namespace {path}: {action}")]
    Namespace {
        /// The namespace.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A kernel setting could not be read or written.
    #[error("kernel setting {name}")]
    Sysctl {
        /// As in `/proc/sys`, with dots.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A file of our own state; the cause names its path.
    #[error("network state")]
    State(#[source] io::Error),
    /// A file of our own state has contents that cannot be believed.
    #[error("network state {path}: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}
