//! Networks of containers on one machine: bridges, addresses, published ports, firewall and names.
//!
//! Everything is done by netlink: links, addresses and routes through rtnetlink, the firewall and
//! the address translation through nftables in a table of our own. No helper program is called and
//! no process stands in the path of a packet, but where encryption is asked of a kernel without WireGuard.
//!
//! [`Networks`] is the door. [`model`] has the words it speaks, [`files`] makes the contents of a
//! container's `/etc/resolv.conf` and `/etc/hosts`. This crate does not know what a container is
//! beyond its id, starts no process and writes no file into a container.

mod core;
mod dns;
pub mod error;
pub mod files;
mod firewall;
mod ident;
mod ipam;
pub mod lab;
pub mod model;
mod netlink;
mod netns;
mod networks;
pub mod options;
mod ports;
mod sandbox;
mod secure;
mod settings;
mod store;
pub mod subnet;

pub use error::{Error, Holder};
pub use model::{
    AttachRequest, Attached, ConnectRequest, DnsConfig, Endpoint, IpamConfig, IpamSpec, MacAddress, MeshPort, Network,
    NetworkSpec, Overlay, Peer, PortRange, PortRequest, Protocol, PublishedPort, Sandbox, VirtualService,
};
pub use netns::{connect, connect_here};
pub use networks::Networks;
pub use options::{DnsOptions, Options, Pool};
pub use secure::{BadKey, NodeKey};
pub use subnet::Subnet;
