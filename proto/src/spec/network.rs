//! Networks as they are asked for, and a container's connections to them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

/// A network as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    pub name: String,
    /// `bridge`, `host`, `none`, `overlay`, `macvlan`; empty is `bridge`.
    pub driver: String,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// No way out to other networks.
    pub internal: bool,
    pub attachable: bool,
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
