//! The words that [`Networks`](crate::Networks) speaks: what is asked for and what is answered.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use hoist_proto::spec;
use serde::{Deserialize, Serialize};

use crate::secure::NodeKey;
use crate::subnet::Subnet;

/// What a person asks of a new network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    /// The name, unique on this machine.
    pub name: String,
    /// `bridge`, `macvlan`, `ipvlan`, `host` or `none` (also spelt `null`); `overlay` for those that span machines.
    pub driver: String,
    /// No way out and no way in: only containers of this network reach each other.
    pub internal: bool,
    /// Kept for inspection; on one machine every network can be attached to.
    pub attachable: bool,
    /// Kept for inspection.
    pub ingress: bool,
    /// Nothing can be on it; others are made from it.
    pub config_only: bool,
    /// The configuration that it was made from.
    pub config_from: Option<String>,
    /// IPv4 addresses are given to containers.
    pub enable_ipv4: bool,
    /// IPv6 addresses are given to containers.
    pub enable_ipv6: bool,
    /// Where addresses come from.
    pub ipam: IpamSpec,
    /// Driver options, such as `com.docker.network.bridge.name`.
    pub options: BTreeMap<String, String>,
    /// Labels; kept, never read.
    pub labels: BTreeMap<String, String>,
}

impl Default for NetworkSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            driver: "bridge".into(),
            internal: false,
            attachable: false,
            ingress: false,
            config_only: false,
            config_from: None,
            enable_ipv4: true,
            enable_ipv6: false,
            ipam: IpamSpec::default(),
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// Address management of a network: where its addresses come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamSpec {
    /// `default` (or empty) or `null`; others are refused.
    pub driver: String,
    /// Kept for inspection.
    pub options: BTreeMap<String, String>,
    /// At most one subnet per address family; a family that is enabled and has
    /// none gets one from the default pools.
    pub config: Vec<IpamConfig>,
}

impl Default for IpamSpec {
    fn default() -> Self {
        Self { driver: "default".into(), options: BTreeMap::new(), config: Vec::new() }
    }
}

/// One subnet of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamConfig {
    /// The subnet; when absent one is taken from the default pools.
    pub subnet: Option<Subnet>,
    /// Containers that ask for no address get one from this part of the subnet.
    pub ip_range: Option<Subnet>,
    /// The host's own address in the subnet; the first of the range when absent.
    pub gateway: Option<IpAddr>,
    /// Addresses that are never given, by the name of their holder.
    pub aux_addresses: BTreeMap<String, IpAddr>,
}

/// A network as it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// When it was made.
    pub created: jiff::Timestamp,
    /// What was asked, with subnets and gateways filled in.
    #[serde(flatten)]
    pub spec: NetworkSpec,
    /// The bridge's interface name; none for `host` and `none`.
    pub bridge: Option<String>,
    /// Set when a person's own bridge is used: the addresses it had before. It keeps them, and
    /// stays, when the network is removed.
    #[serde(default)]
    pub existing: Option<Vec<IpAddr>>,
    /// Set when the network spans machines.
    #[serde(default)]
    pub overlay: Option<Overlay>,
}

/// How this machine takes part in a network that spans machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// The network's VXLAN identifier, 24 bits; the same on all machines.
    pub vni: u32,
    /// The UDP port of the tunnels; the same on all machines.
    pub port: u16,
    /// This machine's address, from which and to which tunnels lead.
    pub local: IpAddr,
    /// It is the routing mesh's: the gateway is this machine's alone, and other machines know it as a peer.
    #[serde(default)]
    pub mesh: bool,
}

/// A container of another machine on a network that spans machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Tells it from all others on its network.
    pub id: String,
    /// The address of the machine that it runs on; none for this machine, whose containers are known better here.
    pub node: Option<IpAddr>,
    /// The key of that machine. Without one nothing is sent there on an encrypted network.
    #[serde(default)]
    pub key: Option<NodeKey>,
    /// Its link address; absent when it is the one that the address stands for, as is usual.
    #[serde(default)]
    pub mac: Option<MacAddress>,
    /// Its addresses on the network, at most one of a family.
    pub addresses: Vec<IpAddr>,
    /// The names that are answered for it; the first is answered for its addresses.
    pub names: Vec<String>,
    /// The [`VirtualService`] that it stands behind, by its id.
    #[serde(default)]
    pub service: Option<String>,
    /// On the routing mesh's network: the address there of its machine, which packets for it have to pass.
    #[serde(default)]
    pub via: Option<IpAddr>,
    /// It takes new connections; the names of others are answered before those of one that does not.
    #[serde(default)]
    pub serving: bool,
}

/// A service that containers of a network that spans machines reach by one address, wherever its members are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualService {
    /// Tells it from all others on its network.
    pub id: String,
    /// At most one of a family.
    pub addresses: Vec<IpAddr>,
    /// The names that are answered with them.
    pub names: Vec<String>,
    /// On the routing mesh's network: ports of every machine that lead to its members.
    #[serde(default)]
    pub ports: Vec<MeshPort>,
}

/// A port of every machine, and the port of the members that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshPort {
    pub protocol: Protocol,
    pub published: u16,
    pub target: u16,
}

impl Network {
    /// The subnet and gateway of one address family.
    pub fn ipam(&self, v6: bool) -> Option<&IpamConfig> {
        self.spec.ipam.config.iter().find(|c| c.subnet.is_some_and(|s| s.is_ipv6() == v6))
    }

    /// The host's address on the bridge.
    pub fn gateway(&self, v6: bool) -> Option<IpAddr> {
        self.ipam(v6).and_then(|c| c.gateway)
    }

    /// Where containers send what is not for their subnet: the host, or the router that an auxiliary address names.
    pub fn way_out(&self, v6: bool) -> Option<IpAddr> {
        let name = if v6 { "DefaultGatewayIPv6" } else { "DefaultGatewayIPv4" };
        let named = self.ipam(v6).and_then(|c| c.aux_addresses.get(name).copied());
        named.or_else(|| self.gateway(v6))
    }

    /// Whether what goes to other machines is encrypted.
    pub fn is_encrypted(&self) -> bool {
        let option = self.spec.options.get(spec::ENCRYPTED);
        // A word that is not understood was refused when the network was made.
        self.overlay.is_some() && option.is_some_and(|value| spec::encrypted(value) != Some(false))
    }

    /// `bridge`, `host` and `none`, which every machine has and nobody can remove.
    pub fn is_predefined(&self) -> bool {
        matches!(self.spec.name.as_str(), "bridge" | "host" | "none")
    }
}

/// A network namespace made ready for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// The container that owns it.
    pub container: String,
    /// The pinned namespace, to be given to the runtime as the path of the `network` namespace.
    pub path: PathBuf,
}

/// How a container wants to be on one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectRequest {
    /// Name, id or unambiguous prefix of an id.
    pub network: String,
    /// A static address, inside the network's subnet.
    pub ipv4: Option<Ipv4Addr>,
    /// A static address, inside the network's subnet.
    pub ipv6: Option<Ipv6Addr>,
    /// Further addresses for the interface (`link_local_ips`), given with a host prefix.
    pub link_local: Vec<IpAddr>,
    /// `02:42:…`; derived from the address when absent.
    pub mac: Option<MacAddress>,
    /// Names that are answered on this network only, besides `names`; several
    /// containers may share one, and all healthy ones are then answered in rotation.
    pub aliases: Vec<String>,
    /// Names by which this container alone finds others on the network, each with a name that the other has there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    /// The container's own names (name, short id, host name).
    pub names: Vec<String>,
    /// Driver options for this endpoint; unknown ones are refused.
    pub driver_opts: BTreeMap<String, String>,
    /// The network with the highest value gives the default route; ties go to the first name.
    pub gw_priority: i64,
    /// Order in which networks are connected (highest first): decides `eth0`, `eth1`, ….
    pub priority: i64,
    /// The interface's name in the container; the next free `ethN` when absent.
    pub interface_name: Option<String>,
}

/// A container's place on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The container.
    pub container: String,
    /// The network's id.
    pub network: String,
    /// The network's name.
    pub network_name: String,
    /// The host's end of the pair; none on `host` and `none`.
    pub host_interface: Option<String>,
    /// The interface inside; none on `host` and `none`.
    pub interface: Option<String>,
    /// The link address.
    pub mac: Option<MacAddress>,
    /// Address and prefix length.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// Address and prefix length.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// The host's address, when the network leads out.
    pub gateway4: Option<Ipv4Addr>,
    /// The host's address, when the network leads out.
    pub gateway6: Option<Ipv6Addr>,
    /// All names that are answered for it on this network.
    pub names: Vec<String>,
    /// What was asked for.
    pub request: ConnectRequest,
}

/// Everything a start needs, done in one go and undone as a whole when a part fails.
#[derive(Debug, Clone, Default)]
pub struct AttachRequest {
    /// The networks to connect; with none the sandbox has only a loopback interface.
    pub networks: Vec<ConnectRequest>,
    /// The ports to publish.
    pub ports: Vec<PortRequest>,
    /// What the container's name server does besides answering names.
    pub dns: DnsConfig,
}

/// The answer to [`AttachRequest`].
#[derive(Debug, Clone)]
pub struct Attached {
    /// The namespace.
    pub sandbox: Sandbox,
    /// One for each network asked, in the order of connection.
    pub endpoints: Vec<Endpoint>,
    /// The ports as they were given.
    pub ports: Vec<PublishedPort>,
}

/// `dns`, `dns_search` and `dns_opt` of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsConfig {
    /// Name servers to forward to instead of the host's. They are asked from
    /// inside the container's namespace.
    pub servers: Vec<IpAddr>,
    /// Search domains instead of the host's; a single `.` means none.
    pub search: Vec<String>,
    /// `options` of resolv.conf instead of the host's.
    pub options: Vec<String>,
}

/// A transport protocol that ports belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Protocol {
    /// The number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl FromStr for Protocol {
    type Err = crate::Error;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(crate::Error::Protocol(s.to_owned())),
        }
    }
}

/// Ports `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest; not below `first`.
    pub last: u16,
}

impl PortRange {
    /// How many ports there are.
    pub fn len(self) -> usize {
        usize::from(self.last).saturating_sub(usize::from(self.first)) + 1
    }

    /// Never: a range has at least one port.
    pub fn is_empty(self) -> bool {
        false
    }

    /// The ports in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl From<u16> for PortRange {
    fn from(port: u16) -> Self {
        Self { first: port, last: port }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// A port, or a range of ports, to publish.
///
/// Ranges of equal length are published pairwise. A single container port with
/// a host range takes the first free port of that range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRequest {
    /// One of the host's addresses; all of both families when absent.
    pub host_ip: Option<IpAddr>,
    /// Host ports; a free one of the ephemeral range when absent.
    pub host_ports: Option<PortRange>,
    /// Container ports.
    pub container_ports: PortRange,
    /// The protocol.
    pub protocol: Protocol,
}

/// A port that is published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The host's address; unspecified for all of that family.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl MacAddress {
    /// The link address of a container that asks for none: the same for the same address, so that
    /// what neighbours remember of it stays true.
    pub(crate) fn standing_for(address: IpAddr) -> Self {
        let [a, b, c, d] = match address {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = crate::ipam::fnv(&address.octets()).to_be_bytes();
                [a, b, c, d]
            }
        };
        Self([0x02, 0x42, a, b, c, d])
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddress {
    type Err = crate::Error;

    /// Six pairs of hexadecimal digits with `:` or `-` between them.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let wrong = || crate::Error::Mac(s.to_owned());
        let mut bytes = [0; 6];
        let mut parts = s.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        // An address with the lowest bit set is a group, which no interface can have.
        if bytes[0] & 1 == 1 || bytes == [0; 6] { Err(wrong()) } else { Ok(Self(bytes)) }
    }
}

impl Serialize for MacAddress {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddress {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
