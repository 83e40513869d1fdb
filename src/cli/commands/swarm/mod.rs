//! Commands on the cluster.

pub mod ca;
pub mod init;
pub mod join;
pub mod leave;
pub mod snapshot;
pub mod token;
pub mod unlock;
pub mod update;

use hoist_proto::unit;
use serde_json::{Value, json};

use crate::cli::{Context, args::swarm::Settings, failure::Failure};

/// The cluster as the daemon shows it.
pub async fn inspect(cx: &Context) -> Result<Value, Failure> {
    Ok(cx.client.get("/swarm").read().await?)
}

/// Sends a changed cluster back, for the version that was read.
pub async fn put(cx: &Context, swarm: &Value, flags: &[&str]) -> Result<(), Failure> {
    let version = swarm["Version"]["Index"].as_u64().unwrap_or_default();
    let mut request = cx.client.post("/swarm/update").query("version", version.to_string());
    for flag in flags {
        request = request.query(flag, "true");
    }
    Ok(request.json(&swarm["Spec"])?.done().await?)
}

/// Puts what was typed into a spec; tells whether anything was.
pub fn set(spec: &mut Value, settings: &Settings) -> Result<bool, Failure> {
    let mut changed = false;
    let mut put = |path: [&str; 2], value: Value| {
        spec[path[0]][path[1]] = value;
        changed = true;
    };
    if !settings.external_ca.is_empty() {
        return Err(Failure::new("--external-ca is not supported: the cluster issues its own certificates"));
    }
    if let Some(text) = &settings.cert_expiry {
        put(["CAConfig", "NodeCertExpiry"], nanoseconds("cert-expiry", text)?.into());
    }
    if let Some(text) = &settings.dispatcher_heartbeat {
        put(["Dispatcher", "HeartbeatPeriod"], nanoseconds("dispatcher-heartbeat", text)?.into());
    }
    if let Some(kept) = settings.max_snapshots {
        put(["Raft", "KeepOldSnapshots"], kept.into());
    }
    if let Some(interval) = settings.snapshot_interval {
        put(["Raft", "SnapshotInterval"], interval.into());
    }
    if let Some(limit) = settings.task_history_limit {
        put(["Orchestration", "TaskHistoryRetentionLimit"], limit.into());
    }
    if let Some(autolock) = settings.autolock {
        put(["EncryptionConfig", "AutoLockManagers"], autolock.into());
    }
    Ok(changed)
}

/// A duration as Docker's API has it.
pub fn nanoseconds(flag: &str, text: &str) -> Result<i64, Failure> {
    let duration = unit::parse_duration(text)
        .map_err(|err| Failure::usage(format!("invalid value {text:?} for --{flag}: {err}")))?;
    i64::try_from(duration.as_nanos())
        .map_err(|_| Failure::usage(format!("invalid value {text:?} for --{flag}: it is too long")))
}

/// An empty spec.
pub fn blank() -> Value {
    json!({})
}
