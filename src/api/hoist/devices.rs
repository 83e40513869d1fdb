//! `/hoist/v1/devices`

mod nodes;

use std::os::unix::fs::MetadataExt;

use axum::{
    Json,
    body::Body,
    extract::{Request, State as With},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use hoist_device::{Device, Kind};
use hoist_proto::spec::{DeviceFigures, DeviceProcess, DeviceUse};
use serde::{Deserialize, Serialize};

use crate::api::{State, body::JsonBody, error::ApiError, forward, params::Params};

/// Everything there is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Listed {
    devices: Vec<serde_json::Value>,
    /// What is wrong: files that cannot be read, drivers and nodes that do not answer.
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
    /// It is set aside because something is wrong with it.
    faulty: bool,
    /// The node's name.
    node: String,
    figures: Option<DeviceFigures>,
    processes: Vec<Process>,
    /// What a container that has it sees.
    nodes: Vec<String>,
    holders: Vec<Holder>,
}

/// A process that uses a device.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Process {
    #[serde(rename = "PID")]
    pid: u32,
    command: String,
    user: String,
    /// The container that it is in; empty if it is in none of this engine's.
    container: String,
    /// Bytes of the device's memory.
    memory: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Holder {
    id: String,
    name: String,
    /// The person for whom a job runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Its job.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    #[serde(rename = "Use")]
    used: DeviceUse,
    /// `null` is the whole.
    parts: Option<u32>,
}

/// `GET /hoist/v1/devices`: this node's; with `nodes=all` those of the whole cluster, which a manager asks.
pub async fn list(With(state): With<State>, params: Params) -> Result<Json<Listed>, ApiError> {
    let mut listed = here(&state).await?;
    match params.text("nodes") {
        None | Some("") => {}
        Some("all") => nodes::add_others(&state, &mut listed).await?,
        Some(other) => {
            return Err(ApiError::bad_request(format!("nodes={other} is not supported: there is nodes=all")));
        }
    }
    Ok(Json(listed))
}

async fn here(state: &State) -> Result<Listed, ApiError> {
    let devices = state.engine.devices().clone();
    let asked = tokio::task::spawn_blocking(move || (devices.inventory(), devices.measured()));
    let (inventory, measured) = asked.await.map_err(ApiError::lost)?;
    let node = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut shown = Vec::new();
    for kind in &inventory.kinds {
        for device in &kind.devices {
            let figures = measured.iter().find(|one| one.kind == kind.name && one.name == device.name);
            let seen = show(state, kind, device, &node, figures.map(|one| one.figures.clone())).await;
            shown.push(serde_json::to_value(seen).map_err(|error| ApiError::internal(error.to_string()))?);
        }
    }
    Ok(Listed { devices: shown, warnings: inventory.warnings })
}

async fn show(state: &State, kind: &Kind, device: &Device, node: &str, figures: Option<DeviceFigures>) -> Shown {
    let mut holders = Vec::new();
    let devices = state.engine.devices();
    for hold in devices.holds(&kind.name, &device.name) {
        let container = state.engine.inspect(&hold.holder).await.ok();
        let label = |name: &str| container.as_ref().and_then(|one| one.effective.labels.get(name).cloned());
        holders.push(Holder {
            name: container.as_ref().map_or_else(|| hold.holder.clone(), |container| container.name.clone()),
            user: label("hoist.job.user"),
            job: label("hoist.job.number"),
            used: devices.use_of(&hold.holder),
            id: hold.holder,
            parts: hold.parts,
        });
    }
    let processes =
        figures.iter().flat_map(|figures| &figures.processes).map(|process| who(process, &holders)).collect();
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
        faulty: device.faulty,
        node: node.to_owned(),
        figures,
        processes,
        nodes: device.edits.device_nodes.iter().map(|node| node.host().to_owned()).collect(),
        holders,
    }
}

/// Whose process it is, as far as the kernel tells.
fn who(process: &DeviceProcess, holders: &[Holder]) -> Process {
    let read = |file: &str| fs_err::read_to_string(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
    let groups = read("cgroup");
    let holder = holders.iter().find(|holder| groups.contains(&holder.id));
    let owner = std::fs::metadata(format!("/proc/{}", process.pid)).map(|metadata| metadata.uid());
    let name = owner.map(|uid| {
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
        user.map_or_else(|| uid.to_string(), |user| user.name)
    });
    Process {
        pid: process.pid,
        command: read("comm").trim_end().to_owned(),
        user: holder.and_then(|holder| holder.user.clone()).or(name.ok()).unwrap_or_default(),
        container: holder.map(|holder| holder.name.clone()).unwrap_or_default(),
        memory: process.memory,
    }
}

/// The body of both.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct One {
    kind: String,
    name: String,
    reason: String,
}

/// Nobody is given the device until it is returned; who has it keeps it. `node` is another node of the cluster.
pub async fn set_aside(
    With(state): With<State>,
    params: Params,
    JsonBody(one): JsonBody<One>,
) -> Result<Response, ApiError> {
    if let Some(answer) = elsewhere(&state, &params, "/hoist/v1/devices/aside", &one).await? {
        return Ok(answer);
    }
    let reason = if one.reason.is_empty() { "by command".to_owned() } else { one.reason };
    let devices = state.engine.devices().clone();
    let work = move || devices.set_aside(&one.kind, &one.name, &reason);
    tokio::task::spawn_blocking(work).await.map_err(ApiError::lost)??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub async fn take_back(
    With(state): With<State>,
    params: Params,
    JsonBody(one): JsonBody<One>,
) -> Result<Response, ApiError> {
    if let Some(answer) = elsewhere(&state, &params, "/hoist/v1/devices/return", &one).await? {
        return Ok(answer);
    }
    let devices = state.engine.devices().clone();
    let work = move || devices.take_back(&one.kind, &one.name);
    tokio::task::spawn_blocking(work).await.map_err(ApiError::lost)??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Asks the node that is named, if it is another one.
async fn elsewhere(state: &State, params: &Params, path: &str, one: &One) -> Result<Option<Response>, ApiError> {
    let Some(name) = params.text("node").filter(|name| !name.is_empty()) else { return Ok(None) };
    let node = nodes::named(state, name)?;
    if state.member.node().as_ref() == Some(&node) {
        return Ok(None);
    }
    let body = serde_json::to_vec(one).map_err(|error| ApiError::internal(error.to_string()))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len())
        .body(Body::from(body))
        .map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(Some(forward::to_node(state, &node, request).await?))
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
