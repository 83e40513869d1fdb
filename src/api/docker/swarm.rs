//! `/swarm`, what a node in no cluster answers on the cluster's paths, and plugins, of which there are none.

use axum::{Json, extract::State as With, http::StatusCode};
use hoist_link::UnlockKey;
use hoist_manager::control::{Control, ControlError};
use hoist_proto::spec::ClusterSpec;
use serde_json::{Value, json};

use crate::{
    api::{
        State,
        body::JsonBody,
        dto::{
            swarm as dto,
            system::{RemoteManager, Swarm},
        },
        error::ApiError,
        params::Params,
        translate::swarm as translate,
    },
    member,
};

const INACTIVE: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";

/// Whether this node answers for a cluster.
///
/// # Errors
/// 503 when it is in none, or no manager of it.
pub fn required(state: &State) -> Result<(), ApiError> {
    manager(state).map(drop)
}

/// The control plane of a cluster that others can join.
///
/// # Errors
/// As Docker's, where there is none.
pub fn manager(state: &State) -> Result<Control, ApiError> {
    let told = state.member.told();
    match told.state {
        "active" => state.control(),
        "locked" => Err(locked()),
        _ => Err(ApiError::unavailable(INACTIVE)),
    }
}

fn locked() -> ApiError {
    ApiError::unavailable(
        "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"docker swarm unlock\" to unlock it.",
    )
}

/// `GET /swarm`
pub async fn inspect(With(state): With<State>) -> Result<Json<Value>, ApiError> {
    let control = manager(&state)?;
    let cluster = control.cluster()?;
    let tokens = control.tokens()?;
    let mut shown = translate::cluster(&cluster);
    shown["JoinTokens"] = json!({ "Worker": tokens.worker, "Manager": tokens.manager });
    Ok(Json(shown))
}

/// As asked, or as the daemon's settings say.
pub fn advertised(state: &State, asked: String) -> String {
    if asked.is_empty() { state.facts().advertise.clone() } else { asked }
}

/// `POST /swarm/init`
pub async fn init(With(state): With<State>, JsonBody(body): JsonBody<dto::Init>) -> Result<Json<String>, ApiError> {
    let mut record = blank();
    if let Some(spec) = &body.spec {
        translate::set(&mut record, spec)?;
    }
    record.spec.autolock |= body.auto_lock_managers;
    let autolock = record.spec.autolock;
    translate::set_networks(&mut record.spec, &body)?;
    let history = body.spec.as_ref().and_then(|spec| spec.orchestration.as_ref());
    let node = state
        .member
        .init(member::Init {
            listen: body.listen_addr,
            advertise: advertised(&state, body.advertise_addr),
            data_address: body.data_path_addr,
            availability: translate::read_availability(&body.availability)?,
            spec: Some(record.spec),
            force: body.force_new_cluster,
            task_history: history.and_then(|one| one.task_history_retention_limit).map(|_| record.task_history_limit),
        })
        .await?;
    if autolock {
        state.control()?.update_cluster(None, |cluster, _| set_unlock_key(cluster, false)).await?;
    }
    Ok(Json(node.to_string()))
}

/// Gives the cluster an unlock key when its spec wants one, another when it is to be replaced, and takes it away when
/// the spec wants none.
fn set_unlock_key(cluster: &mut hoist_proto::spec::Cluster, rotate: bool) -> Result<(), ControlError> {
    let autolock = cluster.spec.autolock;
    let Some(pki) = &mut cluster.pki else { return Ok(()) };
    if rotate && !autolock {
        return Err(ControlError::Precondition("cannot rotate because autolock is not turned on".into()));
    }
    pki.unlock_key = match pki.unlock_key {
        _ if !autolock => None,
        Some(key) if !rotate => Some(key),
        _ => Some(UnlockKey::random().0),
    };
    Ok(())
}

/// A record on which a spec can be tried.
fn blank() -> hoist_proto::spec::Cluster {
    hoist_proto::spec::Cluster {
        id: hoist_proto::id::ClusterId::random(),
        meta: hoist_proto::spec::Meta::default(),
        name: "default".into(),
        task_history_limit: 0,
        spec: ClusterSpec::default(),
        pki: None,
        protocol: hoist_proto::protocol::Protocol::default(),
        mesh_by_hand: false,
    }
}

/// `POST /swarm/join`
pub async fn join(With(state): With<State>, JsonBody(body): JsonBody<dto::Join>) -> Result<StatusCode, ApiError> {
    state
        .member
        .join(member::Join {
            listen: body.listen_addr,
            advertise: advertised(&state, body.advertise_addr),
            data_address: body.data_path_addr,
            availability: translate::read_availability(&body.availability)?,
            managers: body.remote_addrs.unwrap_or_default(),
            token: body.join_token,
        })
        .await?;
    Ok(StatusCode::OK)
}

/// `POST /swarm/leave`
pub async fn leave(With(state): With<State>, params: Params) -> Result<StatusCode, ApiError> {
    state.member.leave(params.flag("force")).await?;
    Ok(StatusCode::OK)
}

/// `POST /swarm/update`
pub async fn update(
    With(state): With<State>,
    params: Params,
    JsonBody(body): JsonBody<dto::SwarmSpec>,
) -> Result<StatusCode, ApiError> {
    let control = manager(&state)?;
    let version: u64 =
        params.number("version")?.ok_or_else(|| ApiError::bad_request("invalid swarm version: it is missing"))?;
    let (worker, manager) = (params.flag("rotateWorkerToken"), params.flag("rotateManagerToken"));
    let unlock = params.flag("rotateManagerUnlockKey");
    // Tried apart, so that what is refused is refused in its own words.
    let mut tried = control.cluster()?;
    let before = tried.spec.force_rotate;
    translate::set(&mut tried, &body)?;
    let ca = body.ca_config.as_ref();
    let own = ca.filter(|ca| !ca.signing_ca_cert.is_empty() || !ca.signing_ca_key.is_empty());
    if own.is_some_and(|ca| ca.signing_ca_cert.is_empty() || ca.signing_ca_key.is_empty()) {
        return Err(ApiError::bad_request("a root needs both its certificate and its key"));
    }
    let rotate = ca.is_some_and(|ca| ca.force_rotate > before) || own.is_some();
    control
        .update_cluster(Some(version), |cluster, _| {
            cluster.spec = tried.spec;
            cluster.task_history_limit = tried.task_history_limit;
            if let Some(pki) = &mut cluster.pki {
                hoist_manager::ca::rotate_tokens(pki, worker, manager);
            }
            set_unlock_key(cluster, unlock)
        })
        .await?;
    if rotate {
        control.rotate_root(own.map(|ca| (ca.signing_ca_cert.clone(), ca.signing_ca_key.clone()))).await?;
    }
    Ok(StatusCode::OK)
}

/// `GET /swarm/unlockkey`
pub async fn unlock_key(With(state): With<State>) -> Result<Json<Value>, ApiError> {
    let cluster = manager(&state)?.cluster()?;
    let key = cluster.pki.and_then(|pki| pki.unlock_key).map(|key| UnlockKey(key).to_string());
    Ok(Json(json!({ "UnlockKey": key.unwrap_or_default() })))
}

/// `POST /swarm/unlock`
pub async fn unlock(With(state): With<State>, JsonBody(body): JsonBody<dto::Unlock>) -> Result<StatusCode, ApiError> {
    match state.member.told().state {
        "locked" => state.member.unlock(&body.unlock_key).await?,
        "active" => return Err(ApiError::conflict("swarm is not locked")),
        _ => return Err(ApiError::unavailable("This node is not part of a swarm")),
    }
    Ok(StatusCode::OK)
}

/// `info`'s part about the cluster.
pub fn told(state: &State) -> Swarm {
    let told = state.member.told();
    let mut swarm = Swarm {
        node_id: told.node,
        node_addr: told.address,
        local_node_state: told.state.to_owned(),
        control_available: told.manager,
        error: told.error,
        ..Swarm::default()
    };
    if told.state != "active" {
        return swarm;
    }
    let managers = told.managers.into_iter();
    swarm.remote_managers =
        Some(managers.map(|one| RemoteManager { node_id: one.node_id, addr: one.address }).collect());
    if let Some(control) = state.member.control() {
        let nodes = control.nodes();
        swarm.nodes = nodes.len();
        swarm.managers = nodes.iter().filter(|node| node.raft.is_some()).count();
        swarm.cluster = control.cluster().ok().map(|cluster| translate::cluster(&cluster));
    }
    swarm
}

/// `GET /plugins`: there are none.
pub async fn no_plugins() -> Json<Value> {
    Json(json!([]))
}

/// Everything else about plugins.
pub async fn plugins_unsupported() -> ApiError {
    ApiError::not_implemented("plugins are not supported")
}
