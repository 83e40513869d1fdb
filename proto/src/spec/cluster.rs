//! The cluster's other records: nodes, networks, volumes, secrets, configs.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DeviceKind, ENCRYPTED, Meta, NetworkAllocation, NetworkSpec, OVERLAY, VolumeSpec, encrypted};
use crate::{
    id::{ClusterId, ConfigId, NetworkId, NodeId, SecretId, VolumeId},
    protocol::Protocol,
};

/// A machine of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    pub meta: Meta,
    pub spec: NodeSpec,
    pub description: NodeDescription,
    pub status: NodeStatus,
    pub manager: bool,
    /// `host:port` of the node's one port; empty while the cluster is this node alone.
    #[serde(default)]
    pub address: String,
    /// The address for traffic between containers; empty for the host of `address`.
    #[serde(default)]
    pub data_address: String,
    /// Its place among the managers, once it has asked for one.
    #[serde(default)]
    pub raft: Option<RaftMember>,
    /// Its own address on the routing mesh's network, given by the allocator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_address: Option<IpAddr>,
    /// The same of IPv6, where the network has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_address6: Option<Ipv6Addr>,
}

impl Node {
    /// Its own addresses on the routing mesh's network, at most one of each family.
    pub fn mesh_addresses(&self) -> Vec<IpAddr> {
        self.mesh_address.into_iter().chain(self.mesh_address6.map(IpAddr::V6)).collect()
    }

    /// The address of traffic between containers; none while the cluster is this node alone.
    pub fn data_path(&self) -> Option<IpAddr> {
        let text = if self.data_address.is_empty() { &self.address } else { &self.data_address };
        // With or without a port; an IPv6 address that has one is in brackets.
        let bare = text.parse().ok();
        bare.or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
    }
}

/// A manager's place among the managers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftMember {
    pub id: u64,
    /// As the leader saw it last.
    pub reachable: bool,
}

/// What people set on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    pub name: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub availability: Availability,
    pub role: Role,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    #[default]
    Active,
    Pause,
    Drain,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    #[default]
    Worker,
    Manager,
}

/// What a node's agent says of its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDescription {
    pub hostname: String,
    pub os: String,
    pub architecture: String,
    pub nano_cpus: u64,
    pub memory: u64,
    pub engine_version: String,
    pub engine_labels: BTreeMap<String, String>,
    /// Counted generic resources by kind.
    pub generic_resources: BTreeMap<String, u64>,
    /// Its devices, of which tasks are given some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceKind>,
    /// The public key by which others encrypt what they send it on encrypted networks; older agents have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_key: Option<String>,
    /// By which root its certificate was issued.
    pub tls: Option<NodeTls>,
    /// The newest version of the words between nodes that its program speaks.
    #[serde(skip_serializing_if = "Protocol::is_first")]
    pub protocol: Protocol,
}

/// What a node tells of its certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeTls {
    /// PEM of the roots that it believes.
    pub trust: String,
    /// DER of the issuer's name.
    pub issuer: Vec<u8>,
    /// Key identifier of the issuer.
    pub issuer_key: Vec<u8>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    pub state: NodeState,
    pub message: String,
    pub address: String,
    pub since: Timestamp,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    #[default]
    Unknown,
    Down,
    Ready,
    Disconnected,
}

/// A network of the cluster, or of one project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterNetwork {
    pub id: NetworkId,
    pub meta: Meta,
    pub spec: NetworkSpec,
    /// The compose project that owns it.
    pub project: Option<String>,
    /// Key under `networks:` in the project's file.
    pub key: Option<String>,
    /// Exists already and is not ours to make or to remove.
    pub external: bool,
    /// Goes as soon as no task uses it.
    #[serde(default)]
    pub removing: bool,
    /// Of a network that spans nodes, once the allocator has seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<NetworkAllocation>,
}

impl ClusterNetwork {
    /// Whether it spans nodes.
    pub fn spans_nodes(&self) -> bool {
        !self.external && self.spec.driver == OVERLAY
    }

    /// Whether what its nodes send each other is encrypted.
    pub fn is_encrypted(&self) -> bool {
        let option = self.spec.options.get(ENCRYPTED);
        self.spans_nodes() && option.is_some_and(|value| encrypted(value) != Some(false))
    }
}

/// A volume of a project; made on each node that needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterVolume {
    pub id: VolumeId,
    pub meta: Meta,
    pub spec: VolumeSpec,
    pub project: Option<String>,
    pub key: Option<String>,
    pub external: bool,
    /// Goes, with its data, as soon as no task uses it.
    #[serde(default)]
    pub removing: bool,
}

/// A secret's record. The bytes are sealed by the store before they reach a disk.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub id: SecretId,
    pub meta: Meta,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub data: Vec<u8>,
    /// What fills the text in on the node, before a container sees it.
    #[serde(default)]
    pub templating: Option<DriverChoice>,
}

// Specs and records get into logs; a secret must not.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A config's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub id: ConfigId,
    pub meta: Meta,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub data: Vec<u8>,
    /// What fills the text in on the node, before a container sees it.
    #[serde(default)]
    pub templating: Option<DriverChoice>,
}

/// A driver by name, with its options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DriverChoice {
    pub name: String,
    pub options: BTreeMap<String, String>,
}

/// The cluster itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    pub id: ClusterId,
    pub meta: Meta,
    pub name: String,
    /// How many ended tasks are kept a slot.
    pub task_history_limit: u32,
    #[serde(default)]
    pub spec: ClusterSpec,
    /// `None` while the cluster is one node alone that others cannot join.
    #[serde(default)]
    pub pki: Option<Pki>,
    /// The version that the managers have agreed on: all of them speak it. It never falls.
    #[serde(default, skip_serializing_if = "Protocol::is_first")]
    pub protocol: Protocol,
    /// People have taken the routing mesh's network away: another is theirs to make.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mesh_by_hand: bool,
}

/// What people set on the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterSpec {
    pub labels: BTreeMap<String, String>,
    /// How often an agent calls.
    pub heartbeat: Duration,
    /// How long a node's certificate is good.
    pub certificate_life: Duration,
    /// Counts the rotations of the root that were asked for.
    pub force_rotate: u64,
    /// Managers need the unlock key when they start.
    pub autolock: bool,
    /// Subnets of networks that span nodes are cut from these.
    pub address_pools: Vec<String>,
    pub subnet_size: u8,
    /// UDP port of traffic between containers.
    pub data_port: u16,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            labels: BTreeMap::new(),
            heartbeat: Duration::from_secs(5),
            certificate_life: Duration::from_secs(90 * 24 * 3600),
            force_rotate: 0,
            autolock: false,
            address_pools: vec!["10.0.0.0/8".into()],
            subnet_size: 24,
            data_port: 4789,
        }
    }
}

/// By what nodes believe each other, and how new ones get in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pki {
    /// PEM of the root.
    pub root: String,
    /// PEM of its key.
    pub key: String,
    pub worker_secret: String,
    pub manager_secret: String,
    /// The root that takes over, while it does.
    #[serde(default)]
    pub rotation: Option<Rotation>,
    /// What opens locked managers.
    #[serde(default)]
    pub unlock_key: Option<[u8; 32]>,
}

/// A root that takes over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    pub root: String,
    pub key: String,
    /// Its certificate, signed by the root before it.
    pub vouched: String,
}

// Records get into logs; keys and secrets must not.
impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").field("rotation", &self.rotation).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Rotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rotation").finish_non_exhaustive()
    }
}
