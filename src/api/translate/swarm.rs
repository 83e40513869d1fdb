//! The cluster's and its nodes' records, as Docker shows and sets them.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use hoist_link::Trust;
use hoist_proto::spec::{Availability, Cluster, ClusterSpec, DeviceKind, Node, NodeSpec, NodeState, NodeTls, Role};
use hoist_raft::{ENTRIES_FOR_SLOW_FOLLOWERS, SNAPSHOT_INTERVAL};
use serde_json::{Map, Value, json};

use super::time;
use crate::api::{dto::swarm as dto, error::ApiError};

/// The only ones that raft goes by here.
const TICKS: (i64, i64) = (10, 1);

fn moment(at: hoist_proto::clock::Timestamp) -> String {
    time::moment(Some(at))
}

/// A cluster, without its tokens.
pub fn cluster(cluster: &Cluster) -> Value {
    let spec = &cluster.spec;
    let tls = cluster.pki.as_ref().and_then(|pki| Trust::from_pem(&pki.root).ok()).map(|trust| {
        json!({
            "TrustRoot": trust.pem(),
            "CertIssuerSubject": STANDARD.encode(trust.subject()),
            "CertIssuerPublicKey": STANDARD.encode(trust.public_key()),
        })
    });
    json!({
        "ID": cluster.id.as_str(),
        "Version": { "Index": cluster.meta.version },
        "CreatedAt": moment(cluster.meta.created),
        "UpdatedAt": moment(cluster.meta.updated),
        "Spec": {
            "Name": cluster.name,
            "Labels": spec.labels,
            "Orchestration": { "TaskHistoryRetentionLimit": cluster.task_history_limit },
            "Raft": {
                "SnapshotInterval": SNAPSHOT_INTERVAL,
                "KeepOldSnapshots": 0,
                "LogEntriesForSlowFollowers": ENTRIES_FOR_SLOW_FOLLOWERS,
                "ElectionTick": TICKS.0,
                "HeartbeatTick": TICKS.1,
            },
            "Dispatcher": { "HeartbeatPeriod": nanoseconds(spec.heartbeat) },
            "CAConfig": { "NodeCertExpiry": nanoseconds(spec.certificate_life), "ForceRotate": spec.force_rotate },
            "TaskDefaults": {},
            "EncryptionConfig": { "AutoLockManagers": spec.autolock },
        },
        "TLSInfo": tls.unwrap_or_else(|| json!({})),
        // Ours: the version that all managers speak.
        "Protocol": cluster.protocol.number(),
        "RootRotationInProgress": cluster.pki.as_ref().is_some_and(|pki| pki.rotation.is_some()),
        "DefaultAddrPool": spec.address_pools,
        "SubnetSize": spec.subnet_size,
        "DataPathPort": spec.data_port,
    })
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn duration(nanoseconds: i64, what: &str) -> Result<Duration, ApiError> {
    u64::try_from(nanoseconds)
        .ok()
        .filter(|nanoseconds| *nanoseconds > 0)
        .map(Duration::from_nanos)
        .ok_or_else(|| ApiError::bad_request(format!("{what} must be more than nothing")))
}

/// Sets on a cluster what Docker's form of its spec says; what it leaves out stays.
///
/// # Errors
/// For what is not supported, by its name.
pub fn set(record: &mut Cluster, spec: &dto::SwarmSpec) -> Result<(), ApiError> {
    let refuse = |text: &str| Err(ApiError::bad_request(text));
    if !spec.name.is_empty() && spec.name != record.name {
        return refuse("a cluster cannot be renamed: its name is default");
    }
    if let Some(labels) = &spec.labels {
        record.spec.labels.clone_from(labels);
    }
    if let Some(limit) = spec.orchestration.as_ref().and_then(|one| one.task_history_retention_limit) {
        // Docker's -1 is for ever.
        record.task_history_limit = u32::try_from(limit).unwrap_or(u32::MAX);
    }
    if let Some(raft) = &spec.raft {
        for (set, only, name) in
            [(raft.election_tick, TICKS.0, "ElectionTick"), (raft.heartbeat_tick, TICKS.1, "HeartbeatTick")]
        {
            if set != 0 && set != only {
                return refuse(&format!("{name} can only be {only}"));
            }
        }
        if raft.keep_old_snapshots.is_some_and(|kept| kept != 0) {
            return refuse("KeepOldSnapshots is not supported: only the newest snapshot is kept");
        }
        // Clients send what they were told, and 0 for what they do not care about.
        for (given, only, name) in [
            (raft.snapshot_interval, SNAPSHOT_INTERVAL, "SnapshotInterval"),
            (raft.log_entries_for_slow_followers, ENTRIES_FOR_SLOW_FOLLOWERS, "LogEntriesForSlowFollowers"),
        ] {
            if given.is_some_and(|given| given != 0 && given != only) {
                return refuse(&format!("{name} can only be {only}"));
            }
        }
    }
    if let Some(period) = spec.dispatcher.as_ref().and_then(|one| one.heartbeat_period).filter(|period| *period != 0) {
        record.spec.heartbeat = duration(period, "the dispatcher's heartbeat period")?;
    }
    if let Some(ca) = &spec.ca_config {
        if ca.external_cas.as_ref().is_some_and(|all| !all.is_empty()) {
            return refuse("external CAs are not supported");
        }
        if let Some(life) = ca.node_cert_expiry.filter(|life| *life != 0) {
            record.spec.certificate_life = duration(life, "the certificates' expiry")?;
        }
    }
    if let Some(encryption) = &spec.encryption_config {
        record.spec.autolock = encryption.auto_lock_managers;
    }
    if spec
        .task_defaults
        .as_ref()
        .is_some_and(|defaults| defaults.log_driver.as_ref().is_some_and(|one| !one.is_null()))
    {
        return refuse("a log driver for all tasks is not supported: set it on each service");
    }
    Ok(())
}

/// What `init` sets beside the spec.
///
/// # Errors
/// For pools and ports that make no sense.
pub fn set_networks(spec: &mut ClusterSpec, init: &dto::Init) -> Result<(), ApiError> {
    if let Some(pools) = init.default_addr_pool.as_ref().filter(|pools| !pools.is_empty()) {
        for pool in pools {
            let fits = pool.split_once('/').is_some_and(|(base, size)| {
                base.parse::<std::net::IpAddr>().is_ok() && size.parse::<u8>().is_ok_and(|size| size <= 128)
            });
            if !fits {
                return Err(ApiError::bad_request(format!("invalid address pool {pool:?}: expected ADDRESS/SIZE")));
            }
        }
        spec.address_pools.clone_from(pools);
    }
    if init.subnet_size != 0 {
        if init.subnet_size > 29 {
            return Err(ApiError::bad_request("subnet size must be at most 29"));
        }
        spec.subnet_size = init.subnet_size;
    }
    if init.data_path_port != 0 {
        if !(1024..=49151).contains(&init.data_path_port) {
            return Err(ApiError::bad_request("Datapath port number must be between 1024 and 49151"));
        }
        spec.data_port = init.data_path_port;
    }
    Ok(())
}

/// A node.
pub fn node(node: &Node, leader: Option<u64>) -> Value {
    let description = &node.description;
    let mut shown = json!({
        "ID": node.id.as_str(),
        "Version": { "Index": node.meta.version },
        "CreatedAt": moment(node.meta.created),
        "UpdatedAt": moment(node.meta.updated),
        "Spec": {
            "Labels": node.spec.labels,
            "Role": role(node.spec.role),
            "Availability": availability(node.spec.availability),
        },
        "Description": {
            "Hostname": description.hostname,
            "Platform": { "Architecture": machine(&description.architecture), "OS": description.os },
            "Resources": {
                "NanoCPUs": description.nano_cpus,
                "MemoryBytes": description.memory,
            },
            "Engine": { "EngineVersion": description.engine_version },
            // Ours: the newest version of the words between nodes that its program speaks.
            "Protocol": description.protocol.number(),
            "TLSInfo": description.tls.as_ref().map_or_else(|| json!({}), tls),
        },
        "Status": { "State": state(node.status.state), "Addr": node.status.address },
    });
    if let Some(name) = &node.spec.name {
        shown["Spec"]["Name"] = name.as_str().into();
    }
    if !node.status.message.is_empty() {
        shown["Status"]["Message"] = node.status.message.as_str().into();
    }
    if !description.engine_labels.is_empty() {
        shown["Description"]["Engine"]["Labels"] = json!(description.engine_labels);
    }
    if !description.generic_resources.is_empty() {
        let all: Vec<Value> = description
            .generic_resources
            .iter()
            .map(|(kind, value)| json!({ "DiscreteResourceSpec": { "Kind": kind, "Value": value } }))
            .collect();
        shown["Description"]["Resources"]["GenericResources"] = all.into();
    }
    if !description.devices.is_empty() {
        shown["Description"]["Devices"] = description.devices.iter().flat_map(devices).collect();
    }
    if let Some(raft) = &node.raft {
        let mut status = Map::new();
        if leader == Some(raft.id) {
            status.insert("Leader".into(), true.into());
        }
        status.insert("Reachability".into(), if raft.reachable { "reachable" } else { "unreachable" }.into());
        status.insert("Addr".into(), node.address.as_str().into());
        shown["ManagerStatus"] = status.into();
    }
    shown
}

/// The devices of a kind, each with what is known of it and by which containers that are no tasks it is held.
fn devices(kind: &DeviceKind) -> impl Iterator<Item = Value> + '_ {
    kind.devices.iter().map(|device| {
        let facts = &device.facts;
        let mut shown =
            json!({ "Kind": kind.name, "Name": device.name, "Index": device.index, "Shares": device.shares });
        let texts = [
            ("Model", &facts.model),
            ("DriverVersion", &facts.driver_version),
            ("ComputeCapability", &facts.compute),
            ("MigProfile", &facts.mig_profile),
        ];
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            shown[key] = text.as_str().into();
        }
        if let Some(memory) = facts.memory {
            shown["Memory"] = memory.into();
        }
        if let Some(reason) = &device.set_aside {
            shown["SetAside"] = reason.as_str().into();
        }
        if !device.held.is_empty() {
            shown["HeldBy"] = device.held.iter().map(|held| held.holder.as_str()).collect();
        }
        shown
    })
}

fn tls(tls: &NodeTls) -> Value {
    let issuer = pem_blocks(&tls.trust)
        .filter_map(|pem| Trust::from_pem(&pem).ok())
        .find(|trust| trust.key_id() == tls.issuer_key);
    json!({
        "TrustRoot": tls.trust,
        "CertIssuerSubject": STANDARD.encode(&tls.issuer),
        "CertIssuerPublicKey": issuer.map(|trust| STANDARD.encode(trust.public_key())).unwrap_or_default(),
    })
}

fn pem_blocks(text: &str) -> impl Iterator<Item = String> {
    const END: &str = "-----END CERTIFICATE-----\n";
    text.split_inclusive(END).map(str::to_owned)
}

/// The kernel's word for the architecture, as Docker shows nodes'.
fn machine(architecture: &str) -> &str {
    match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    }
}

pub fn role(role: Role) -> &'static str {
    match role {
        Role::Worker => "worker",
        Role::Manager => "manager",
    }
}

pub fn availability(availability: Availability) -> &'static str {
    match availability {
        Availability::Active => "active",
        Availability::Pause => "pause",
        Availability::Drain => "drain",
    }
}

fn state(state: NodeState) -> &'static str {
    match state {
        NodeState::Unknown => "unknown",
        NodeState::Down => "down",
        NodeState::Ready => "ready",
        NodeState::Disconnected => "disconnected",
    }
}

/// Reads an availability; nothing is active.
///
/// # Errors
/// For any other word.
pub fn read_availability(text: &str) -> Result<Availability, ApiError> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "" | "active" => Availability::Active,
        "pause" => Availability::Pause,
        "drain" => Availability::Drain,
        _ => return Err(ApiError::bad_request(format!("invalid availability: {text:?}"))),
    })
}

/// What people set on a node, out of Docker's form.
///
/// # Errors
/// For words that mean nothing.
pub fn node_spec(spec: dto::NodeSpec) -> Result<NodeSpec, ApiError> {
    let role = match spec.role.to_ascii_lowercase().as_str() {
        "worker" => Role::Worker,
        "manager" => Role::Manager,
        _ => return Err(ApiError::bad_request(format!("invalid Role: {:?}", spec.role))),
    };
    if spec.availability.is_empty() {
        return Err(ApiError::bad_request("invalid Availability: \"\""));
    }
    Ok(NodeSpec {
        name: Some(spec.name).filter(|name| !name.is_empty()),
        labels: spec.labels.unwrap_or_default(),
        availability: read_availability(&spec.availability)?,
        role,
    })
}
