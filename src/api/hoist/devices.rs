//! `/hoist/v1/devices`

use axum::{Json, extract::State as With, http::StatusCode};
use hoist_device::{Device, Kind};
use serde::{Deserialize, Serialize};

use crate::api::{State, body::JsonBody, error::ApiError, params::Params};

/// Everything there is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    devices: Vec<Shown>,
    /// What is wrong: files that cannot be read, drivers that do not answer.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    kind: String,
    name: String,
    aliases: Vec<String>,
    index: u32,
    source: hoist_device::Source,
    capabilities: Vec<String>,
    /// Nothing is counted.
    open: bool,
    model: String,
    /// Bytes.
    memory: Option<u64>,
    #[serde(rename = "PCI")]
    pci: String,
    driver_version: String,
    compute_capability: String,
    mig_profile: String,
    parent: String,
    numa_node: Option<u32>,
    links: std::collections::BTreeMap<String, u32>,
    shares: u32,
    set_aside: Option<String>,
    /// What a container that has it sees.
    nodes: Vec<String>,
    holders: Vec<Holder>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Holder {
    id: String,
    name: String,
    /// `null` is the whole.
    parts: Option<u32>,
}

pub async fn list(With(state): With<State>) -> Result<Json<Listed>, ApiError> {
    let devices = state.engine.devices().clone();
    let inventory = tokio::task::spawn_blocking(move || devices.inventory()).await.map_err(ApiError::lost)?;
    let mut shown = Vec::new();
    for kind in &inventory.kinds {
        for device in &kind.devices {
            shown.push(show(&state, kind, device).await);
        }
    }
    Ok(Json(Listed { devices: shown, warnings: inventory.warnings }))
}

async fn show(state: &State, kind: &Kind, device: &Device) -> Shown {
    let mut holders = Vec::new();
    for hold in state.engine.devices().holds(&kind.name, &device.name) {
        let name = state.engine.inspect(&hold.holder).await.map(|container| container.name);
        holders.push(Holder { name: name.unwrap_or_else(|_| hold.holder.clone()), id: hold.holder, parts: hold.parts });
    }
    let facts = device.facts.clone();
    Shown {
        kind: kind.name.clone(),
        name: device.name.clone(),
        aliases: device.aliases.clone(),
        index: device.index,
        source: kind.source,
        capabilities: kind.capabilities.clone(),
        open: kind.open,
        model: facts.model,
        memory: facts.memory,
        pci: facts.pci,
        driver_version: facts.driver_version,
        compute_capability: facts.compute,
        mig_profile: facts.mig_profile,
        parent: facts.parent,
        numa_node: facts.numa,
        links: facts.links,
        shares: device.shares,
        set_aside: device.set_aside.clone(),
        nodes: device.edits.device_nodes.iter().map(|node| node.host().to_owned()).collect(),
        holders,
    }
}

/// The body of both.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct One {
    kind: String,
    name: String,
    reason: String,
}

/// Nobody is given the device until it is returned; who has it keeps it.
pub async fn set_aside(With(state): With<State>, JsonBody(one): JsonBody<One>) -> Result<StatusCode, ApiError> {
    let reason = if one.reason.is_empty() { "by command".to_owned() } else { one.reason };
    let devices = state.engine.devices().clone();
    let work = move || devices.set_aside(&one.kind, &one.name, &reason);
    tokio::task::spawn_blocking(work).await.map_err(ApiError::lost)??;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn take_back(With(state): With<State>, JsonBody(one): JsonBody<One>) -> Result<StatusCode, ApiError> {
    let devices = state.engine.devices().clone();
    let work = move || devices.take_back(&one.kind, &one.name);
    tokio::task::spawn_blocking(work).await.map_err(ApiError::lost)??;
    Ok(StatusCode::NO_CONTENT)
}

/// A kind as a CDI specification.
pub async fn specification(
    With(state): With<State>,
    params: Params,
) -> Result<Json<hoist_device::cdi::Spec>, ApiError> {
    let kind = params.text("kind").unwrap_or_default().to_owned();
    let devices = state.engine.devices().clone();
    let spec = tokio::task::spawn_blocking(move || devices.specification(&kind)).await.map_err(ApiError::lost)??;
    Ok(Json(spec))
}
