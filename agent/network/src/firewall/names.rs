//! What the table and its parts are called.

/// The names of one daemon's table. Several daemons on a machine have a table each.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) table: String,
}

impl Names {
    pub(crate) fn new(instance: &str) -> Self {
        Self { table: if instance.is_empty() { "hoist".into() } else { format!("hoist-{instance}") } }
    }
}

pub(super) const RAW: &str = "raw";
pub(super) const PREROUTING: &str = "prerouting";
pub(super) const OUTPUT: &str = "output";
pub(super) const PUBLISHED: &str = "published";
pub(super) const FORWARD: &str = "forward";
pub(super) const POSTROUTING: &str = "postrouting";

/// The chain that tells which machine sent a packet on.
pub(super) const MESH: &str = "mesh";
/// Set of the bridges of the mesh's network.
pub(super) const MESH_BRIDGES: &str = "mesh-bridges";
/// Marks by the link addresses of other machines on that network.
pub(super) const MESH_MACHINES: &str = "mesh-machines";
/// The addresses of the other machines.
pub(super) const MESH_SOURCES: &str = "mesh-sources";
pub(super) const MESH_SOURCES6: &str = "mesh-sources6";
/// Verdicts by protocol and port, for calls by IPv4 and by IPv6.
pub(super) const MESH_PORTS: &str = "mesh-ports";
pub(super) const MESH_PORTS6: &str = "mesh-ports6";

/// Set of the names of all our bridges.
pub(super) const BRIDGES: &str = "bridges";
/// Verdicts by the bridge that a packet leaves; only bridges that nothing may leave are in it.
pub(super) const LEAVING: &str = "leaving";
/// Verdicts by the bridge that a packet enters.
pub(super) const ENTERING: &str = "entering";
/// Verdicts by the source address, for networks whose addresses are hidden behind the host's.
pub(super) const SOURCES4: &str = "sources4";
pub(super) const SOURCES6: &str = "sources6";
/// Published ports: protocol and port → container's address and port.
pub(super) const PORTS4: &str = "ports4";
pub(super) const PORTS6: &str = "ports6";
/// Published ports of one host address: address, protocol and port → container's address and port.
pub(super) const PORTS4_AT: &str = "ports4-at";
pub(super) const PORTS6_AT: &str = "ports6-at";

/// The chain for packets that enter a bridge.
pub(super) fn enter(bridge: &str) -> String {
    format!("enter-{bridge}")
}

/// The chain for packets that leave an internal bridge.
pub(super) fn leave(bridge: &str) -> String {
    format!("leave-{bridge}")
}

/// The chain for new connections out of a bridge's subnet.
pub(super) fn post(bridge: &str) -> String {
    format!("post-{bridge}")
}
