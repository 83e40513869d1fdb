//! The cluster and its nodes, as Docker's API reads them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// By this header's name the key travels that seals a snapshot: over the socket, or between nodes.
pub const SNAPSHOT_KEY: &str = "hoist-snapshot-key";

/// `POST /swarm/init`
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Init {
    pub listen_addr: String,
    pub advertise_addr: String,
    pub data_path_addr: String,
    pub data_path_port: u16,
    pub default_addr_pool: Option<Vec<String>>,
    pub force_new_cluster: bool,
    pub subnet_size: u8,
    pub spec: Option<SwarmSpec>,
    pub auto_lock_managers: bool,
    pub availability: String,
}

/// `POST /swarm/join`
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Join {
    pub listen_addr: String,
    pub advertise_addr: String,
    pub data_path_addr: String,
    pub remote_addrs: Option<Vec<String>>,
    pub join_token: String,
    pub availability: String,
}

/// `POST /swarm/unlock`
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Unlock {
    pub unlock_key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SwarmSpec {
    pub name: String,
    pub labels: Option<BTreeMap<String, String>>,
    pub orchestration: Option<Orchestration>,
    pub raft: Option<Raft>,
    pub dispatcher: Option<Dispatcher>,
    #[serde(rename = "CAConfig")]
    pub ca_config: Option<CaConfig>,
    pub encryption_config: Option<EncryptionConfig>,
    pub task_defaults: Option<TaskDefaults>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Orchestration {
    pub task_history_retention_limit: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Raft {
    pub snapshot_interval: Option<u64>,
    pub keep_old_snapshots: Option<u64>,
    pub log_entries_for_slow_followers: Option<u64>,
    pub election_tick: i64,
    pub heartbeat_tick: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Dispatcher {
    /// Nanoseconds.
    pub heartbeat_period: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CaConfig {
    /// Nanoseconds.
    pub node_cert_expiry: Option<i64>,
    #[serde(rename = "ExternalCAs")]
    pub external_cas: Option<Vec<serde_json::Value>>,
    #[serde(rename = "SigningCACert")]
    pub signing_ca_cert: String,
    #[serde(rename = "SigningCAKey")]
    pub signing_ca_key: String,
    pub force_rotate: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct EncryptionConfig {
    pub auto_lock_managers: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TaskDefaults {
    pub log_driver: Option<serde_json::Value>,
}

/// `POST /nodes/{id}/update`
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NodeSpec {
    pub name: String,
    pub labels: Option<BTreeMap<String, String>>,
    pub role: String,
    pub availability: String,
}
