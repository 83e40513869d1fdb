//! Networks as they are asked for, and a container's connections to them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use super::{Meta, Protocol};
use crate::id::{AttachmentId, NetworkId, NodeId, ServiceId};

/// The driver of networks that span nodes.
pub const OVERLAY: &str = "overlay";
/// The option of such a network by which what nodes send each other is encrypted.
pub const ENCRYPTED: &str = "encrypted";

/// What that option says: its name alone means yes. None for what is not understood.
pub fn encrypted(value: &str) -> Option<bool> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A network as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    pub name: String,
    /// `bridge`, `host`, `none`, `overlay`, `macvlan`, `ipvlan`; empty is `bridge`.
    pub driver: String,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// No way out to other networks.
    pub internal: bool,
    pub attachable: bool,
    /// It carries the routing mesh: published ports of every node lead over it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ingress: bool,
    pub enable_ipv4: bool,
    pub enable_ipv6: bool,
    pub ipam: IpamSpec,
}

impl Default for NetworkSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            driver: String::new(),
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
            internal: false,
            attachable: false,
            ingress: false,
            enable_ipv4: true,
            enable_ipv6: false,
            ipam: IpamSpec::default(),
        }
    }
}

/// Where a network's addresses come from. An empty `pools` takes a free one of the daemon's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamSpec {
    pub driver: String,
    pub options: BTreeMap<String, String>,
    pub pools: Vec<IpamPool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamPool {
    /// `address/prefix`.
    pub subnet: Option<String>,
    /// The part of `subnet` that containers get addresses from.
    pub ip_range: Option<String>,
    pub gateway: Option<IpAddr>,
    /// Addresses never given to containers, by a name for each.
    pub aux_addresses: BTreeMap<String, IpAddr>,
}

/// A container's wish to be on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkAttachment {
    /// Name or id of the network.
    pub network: String,
    /// Further names by which others on the network reach the container.
    pub aliases: Vec<String>,
    /// `CONTAINER[:ALIAS]`: names by which it alone reaches others on the network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    pub link_local: Vec<IpAddr>,
    pub mac: Option<String>,
    pub interface_name: Option<String>,
    pub driver_options: BTreeMap<String, String>,
    /// Networks are connected from the highest to the lowest.
    pub priority: i32,
    /// The highest gives the default route.
    pub gateway_priority: i32,
}

/// What the cluster decided for a network that spans nodes; the same on every node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAllocation {
    /// The network's VXLAN identifier, 24 bits.
    pub vni: u32,
    /// UDP port of the tunnels.
    pub port: u16,
    /// Each with its subnet and gateway; the gateway is every node's own address on the network.
    pub pools: Vec<IpamPool>,
}

/// What a task or a service was given on a network that spans nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAddresses {
    pub network: NetworkId,
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    /// The names that are answered with them, besides the container's own.
    pub names: Vec<String>,
}

/// A container that is no task, on a network that spans nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub id: AttachmentId,
    pub meta: Meta,
    pub network: NetworkId,
    pub node: NodeId,
    /// The engine's id of it.
    pub container: String,
    pub names: Vec<String>,
    /// The addresses that were asked for.
    pub wanted: NetworkAttachment,
    /// Given by the allocator.
    pub addresses: Vec<IpAddr>,
    /// Why none can be given.
    pub message: String,
}

/// A task on a network that spans nodes, as the network's nodes must know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkMember {
    /// Of the task; unique on the network.
    pub id: String,
    pub network: NetworkId,
    pub node: NodeId,
    /// Where its node's tunnels end.
    pub node_address: IpAddr,
    /// On an encrypted network: its node's public key. Nothing is sent to a node without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_key: Option<String>,
    pub addresses: Vec<IpAddr>,
    /// All names that are answered for it, its container's first.
    pub names: Vec<String>,
    /// The service behind whose virtual address or published ports it stands.
    pub service: Option<ServiceId>,
    /// On the routing mesh's network: its node's own address there.
    #[serde(default)]
    pub via: Option<IpAddr>,
    /// It takes new connections: it runs, is not unhealthy, and is to go on.
    pub serving: bool,
}

/// A service's virtual address on a network that spans nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualService {
    pub service: ServiceId,
    pub network: NetworkId,
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    pub names: Vec<String>,
    /// On the routing mesh's network: ports of every node.
    #[serde(default)]
    pub ports: Vec<MeshPort>,
}

/// A port of every node that leads to a port of a service's tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MeshPort {
    pub protocol: Protocol,
    pub published: u16,
    pub target: u16,
}

/// What a service has on the routing mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshPorts {
    pub network: NetworkId,
    pub ports: Vec<MeshPort>,
}
