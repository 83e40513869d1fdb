use serde::{Deserialize, Serialize};

use super::{Extensions, Map, is_default};

/// A network of the project (06-networks.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// The network's real name: `<project>_<key>` unless given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The driver; the engine's default when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The driver's options.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub driver_opts: Map<String>,
    /// Address ranges.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ipam: Ipam,
    /// Whether it exists already and is not managed by the project.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: bool,
    /// Whether it has no way to the outside.
    #[serde(default, skip_serializing_if = "is_default")]
    pub internal: bool,
    /// Whether containers outside the project may join.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attachable: bool,
    /// Labels.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String>,
    /// Whether addresses of version 4 are given; unset means yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_ipv4: Option<bool>,
    /// Whether addresses of version 6 are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_ipv6: Option<bool>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// Address management of a network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ipam {
    /// The driver; `default` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Address ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<IpamPool>,
    /// The driver's options.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// One address range of a network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct IpamPool {
    /// The subnet, `address/length`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// The gateway's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The part of the subnet that containers get addresses from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<String>,
    /// Addresses kept for the driver, by host name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub aux_addresses: Map<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// How a service joins a network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceNetwork {
    /// Further names on this network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The driver's options for this endpoint.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub driver_opts: Map<String>,
    /// The network of the highest value is the default gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw_priority: Option<f64>,
    /// The interface's name in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_name: Option<String>,
    /// A fixed address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_address: Option<String>,
    /// A fixed address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_address: Option<String>,
    /// Link-local addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub link_local_ips: Vec<String>,
    /// The MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// Order of joining, highest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<f64>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

/// A published port, in the long syntax.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `ingress` (balanced) or `host` (on each node).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The host's address; all of them when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<String>,
    /// The container's port.
    pub target: u16,
    /// The host's port, or `first-last` of which a free one is taken; any
    /// free port when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// `tcp`, `udp` or `sctp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What is spoken over the port; a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

impl Port {
    /// The protocol, `tcp` when not given.
    pub fn protocol(&self) -> &str {
        self.protocol.as_deref().unwrap_or("tcp")
    }

    /// The first and the last host port that may be taken; `None`: any.
    pub fn published_range(&self) -> Option<(u16, u16)> {
        let published = self.published.as_deref()?;
        let (first, last) = published.split_once('-').unwrap_or((published, published));
        match (first.parse().ok()?, last.parse().ok()?) {
            (0, 0) => None,
            range => Some(range),
        }
    }
}
