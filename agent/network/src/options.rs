//! How the networks of one daemon are set up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::model::PortRange;
use crate::subnet::Subnet;

/// How the networks of one daemon are set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Networks live in `<data_root>/networks`.
    pub data_root: PathBuf,
    /// Namespaces and endpoints live in `<run_root>/netns` and `<run_root>/endpoints`.
    pub run_root: PathBuf,
    /// Empty for the machine's own daemon. Several daemons on one machine each
    /// have another; it becomes part of the names of bridges and of the nftables table.
    pub instance: String,
    /// The bridge of the default network; `hoist0` (with the instance) when absent.
    pub bridge: Option<String>,
    /// The default network's subnets (`bip`); from the pools when empty.
    pub default_subnets: Vec<Subnet>,
    /// The host's addresses on the default network's bridge, each in one of the subnets; the first
    /// address of a subnet that has none here.
    pub default_gateways: Vec<IpAddr>,
    /// Which part of the default network's subnets containers get addresses from (`fixed-cidr`).
    pub default_ranges: Vec<Subnet>,
    /// Routers that containers of the default network use instead of the host (`default-gateway`).
    pub default_routers: Vec<IpAddr>,
    /// Whether the default network has IPv6, also without a subnet of its own.
    pub default_ipv6: bool,
    /// Driver options of the default network.
    pub default_options: BTreeMap<String, String>,
    /// Options of new networks by driver, where a person does not say.
    pub network_options: BTreeMap<String, BTreeMap<String, String>>,
    /// Where subnets are taken from when none is given.
    pub pools: Vec<Pool>,
    /// The MTU of new networks that do not name one; the kernel's default when absent.
    pub mtu: Option<u32>,
    /// Where host ports are taken from when none is given; the kernel's ephemeral
    /// range (`net.ipv4.ip_local_port_range`) when absent.
    pub ports: Option<PortRange>,
    /// Whether what the kernel cannot lead to a container is carried by this process: calls to `::1`, and calls by
    /// IPv6 to a container that has only IPv4.
    pub relays: bool,
    /// Whether encrypted networks use the kernel's WireGuard where it has one; else packets are encrypted in this process.
    pub kernel_wireguard: bool,
    /// How many namespaces are kept ready.
    pub ready_sandboxes: usize,
    /// Name service.
    pub dns: DnsOptions,
}

impl Options {
    /// The usual settings with state under the two roots.
    pub fn new(data_root: impl Into<PathBuf>, run_root: impl Into<PathBuf>) -> Self {
        Self {
            data_root: data_root.into(),
            run_root: run_root.into(),
            instance: String::new(),
            bridge: None,
            default_subnets: Vec::new(),
            default_gateways: Vec::new(),
            default_ranges: Vec::new(),
            default_routers: Vec::new(),
            default_ipv6: false,
            default_options: BTreeMap::new(),
            network_options: BTreeMap::new(),
            pools: Pool::defaults(),
            mtu: None,
            ports: None,
            relays: true,
            kernel_wireguard: true,
            ready_sandboxes: 4,
            dns: DnsOptions::default(),
        }
    }
}

/// A range of addresses that is cut into subnets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The whole range.
    pub base: Subnet,
    /// The prefix length of each subnet cut from it.
    pub size: u8,
}

/// Name service for all containers of the daemon.
#[derive(Debug, Clone)]
pub struct DnsOptions {
    /// The file that names the host's resolvers.
    pub resolv_conf: PathBuf,
    /// Resolvers to use instead of the host's.
    pub servers: Vec<IpAddr>,
}

impl Default for DnsOptions {
    fn default() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), servers: Vec::new() }
    }
}
