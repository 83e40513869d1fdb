//! Networks that span nodes: the cluster's records of them, and this machine's part.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Request, State as With},
    http::{Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hoist_engine::Actor;
use hoist_network::Network;
use hoist_proto::spec::{ClusterNetwork, IpamPool, IpamSpec, NetworkSpec, OVERLAY};

use crate::api::{
    State, docker::swarm, dto::network as dto, error::ApiError, forward, params::Filters, translate::time,
};

/// No definition of a network is longer.
const BODY: usize = 1 << 20;

/// Those that this node knows of: all of them on a manager of a cluster, none elsewhere.
pub(super) fn all(state: &State) -> Vec<Arc<ClusterNetwork>> {
    if swarm::required(state).is_err() {
        return Vec::new();
    }
    state.control().map(|control| control.networks()).unwrap_or_default()
}

pub(super) fn find(state: &State, name: &str) -> Option<Arc<ClusterNetwork>> {
    swarm::required(state).ok()?;
    state.control().ok()?.network(name).ok()
}

/// Whether a network of this machine is its part of one of these.
pub(super) fn is_part(wide: &[Arc<ClusterNetwork>], network: &Network) -> bool {
    network.overlay.is_some_and(|overlay| {
        wide.iter().any(|wide| wide.allocation.as_ref().is_some_and(|given| given.vni == overlay.vni))
    })
}

/// This machine's part of a network, when a task here has needed it.
pub(super) async fn part(state: &State, wide: &Arc<ClusterNetwork>) -> Option<Network> {
    let network = state.engine.networks().inspect(&wide.spec.name).await.ok()?;
    is_part(std::slice::from_ref(wide), &network).then_some(network)
}

pub(super) fn is_used(state: &State, network: &ClusterNetwork) -> bool {
    let on_it = |service: &Arc<hoist_proto::spec::Service>| service.spec.task.networks.contains(&network.id);
    state.control().is_ok_and(|control| control.services().iter().any(on_it))
}

pub(super) fn fits(network: &ClusterNetwork, filters: &Filters) -> bool {
    filters.any("driver", |value| value == OVERLAY)
        && filters.any("id", |value| network.id.as_str().starts_with(value.as_str()))
        && filters.any("name", |value| network.spec.name.contains(value.as_str()))
        && filters.any("scope", |value| value == "swarm")
        && filters.any("type", |value| value == "custom")
        && filters.labels(&network.spec.labels)
}

pub(super) fn show(network: &ClusterNetwork) -> dto::Network {
    let spec = &network.spec;
    let mut options = spec.options.clone();
    let pools = match &network.allocation {
        Some(allocation) => {
            // As Docker shows it.
            let list = options.entry("com.docker.network.driver.overlay.vxlanid_list".to_owned());
            list.or_insert_with(|| allocation.vni.to_string());
            &allocation.pools
        }
        None => &spec.ipam.pools,
    };
    dto::Network {
        name: spec.name.clone(),
        id: network.id.to_string(),
        created: time::moment(Some(network.meta.created)),
        scope: "swarm".to_owned(),
        driver: OVERLAY.to_owned(),
        enable_ipv4: spec.enable_ipv4,
        enable_ipv6: spec.enable_ipv6,
        ipam: dto::Ipam {
            driver: if spec.ipam.driver.is_empty() { "default".to_owned() } else { spec.ipam.driver.clone() },
            options: (!spec.ipam.options.is_empty()).then(|| spec.ipam.options.clone()),
            config: pools.iter().map(pool).collect(),
        },
        internal: spec.internal,
        attachable: spec.attachable,
        ingress: spec.ingress,
        config_from: dto::ConfigFrom::default(),
        config_only: false,
        containers: BTreeMap::new(),
        options,
        labels: spec.labels.clone(),
    }
}

fn pool(pool: &IpamPool) -> dto::IpamConfig {
    dto::IpamConfig {
        subnet: pool.subnet.clone().unwrap_or_default(),
        ip_range: pool.ip_range.clone().unwrap_or_default(),
        gateway: pool.gateway.map(|address| address.to_string()).unwrap_or_default(),
        auxiliary: pool.aux_addresses.iter().map(|(name, ip)| (name.clone(), ip.to_string())).collect(),
    }
}

/// Networks that span nodes are made and removed by the leader; all others are this machine's own.
pub async fn to_leader(With(state): With<State>, request: Request, next: Next) -> Response {
    if state.member.other_leader().is_none() || forward::was_passed(&request) {
        return next.run(request).await;
    }
    let path = request.uri().path().to_owned();
    if *request.method() == Method::DELETE {
        let name = path.rsplit('/').next().unwrap_or_default();
        return match find(&state, name) {
            Some(_) => forward::to_leader(With(state), request, next).await,
            None => next.run(request).await,
        };
    }
    if *request.method() != Method::POST || path != "/networks/create" {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let bytes = match axum::body::to_bytes(body, BODY).await {
        Ok(bytes) => bytes,
        Err(error) => return ApiError::bad_request(error.to_string()).into_response(),
    };
    let spans = serde_json::from_slice::<dto::Create>(&bytes).is_ok_and(|body| body.driver == OVERLAY);
    let request = Request::from_parts(parts, Body::from(bytes));
    if spans { forward::to_leader(With(state), request, next).await } else { next.run(request).await }
}

pub(super) async fn create(state: &State, body: dto::Create) -> Result<(StatusCode, Json<dto::Created>), ApiError> {
    swarm::required(state)?;
    if !matches!(body.scope.as_str(), "" | "swarm") {
        return Err(ApiError::bad_request(format!("an overlay is no network of scope {:?}", body.scope)));
    }
    if let Ok(there) = state.engine.networks().inspect(&body.name).await
        && there.spec.name == body.name
    {
        return Err(ApiError::conflict(format!("network with name {} already exists", body.name)));
    }
    // The same reading as that of a bridge's definition.
    let read = super::spec(dto::Create { scope: String::new(), ingress: false, ..body })?;
    let pools = read.ipam.config.into_iter().map(|config| IpamPool {
        subnet: config.subnet.map(|subnet| subnet.to_string()),
        ip_range: config.ip_range.map(|range| range.to_string()),
        gateway: config.gateway,
        aux_addresses: config.aux_addresses,
    });
    let spec = NetworkSpec {
        name: read.name,
        driver: OVERLAY.to_owned(),
        options: read.options,
        labels: read.labels,
        internal: read.internal,
        attachable: read.attachable,
        ingress: body.ingress,
        enable_ipv4: read.enable_ipv4,
        enable_ipv6: read.enable_ipv6,
        ipam: IpamSpec {
            driver: if read.ipam.driver == "default" { String::new() } else { read.ipam.driver },
            options: read.ipam.options,
            pools: pools.collect(),
        },
    };
    let name = spec.name.clone();
    let id = state.control()?.create_network(spec).await?;
    publish(state, "create", id.as_str(), &name);
    Ok((StatusCode::CREATED, Json(dto::Created { id: id.to_string(), warning: String::new() })))
}

pub(super) async fn remove(state: &State, name: &str) -> Result<StatusCode, ApiError> {
    let removed = state.control()?.remove_network(name).await?;
    publish(state, "remove", removed.id.as_str(), &removed.spec.name);
    Ok(StatusCode::NO_CONTENT)
}

fn publish(state: &State, action: &str, id: &str, name: &str) {
    let attributes = BTreeMap::from([("name".to_owned(), name.to_owned()), ("type".to_owned(), OVERLAY.to_owned())]);
    state.engine.events().publish("network", action, Actor { id: id.to_owned(), attributes });
}
