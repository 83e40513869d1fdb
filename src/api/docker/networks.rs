//! `/networks`.

mod spanning;

pub use spanning::to_leader;

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State as With},
    http::StatusCode,
};
use hoist_engine::Actor;
use hoist_network::{Endpoint, IpamConfig, IpamSpec, Network, NetworkSpec};
use hoist_proto::spec::OVERLAY;

use crate::api::{
    State,
    body::{JsonBody, OptionalBody},
    dto::network as dto,
    error::ApiError,
    params::{Filters, Params},
    translate::{networks::endpoint, time},
};

pub async fn list(With(state): With<State>, params: Params) -> Result<Json<Vec<dto::Network>>, ApiError> {
    let filters = params.filters()?.only(&["dangling", "driver", "id", "label", "label!", "name", "scope", "type"])?;
    let dangling = filters.flag("dangling")?;
    if let Some(bad) = filters.get("type").iter().find(|kind| !matches!(kind.as_str(), "custom" | "builtin")) {
        return Err(ApiError::bad_request(format!("invalid filter 'type={bad}'")));
    }
    let mut found = Vec::new();
    let wide = spanning::all(&state);
    for network in &wide {
        let used = || spanning::is_used(&state, network);
        if spanning::fits(network, &filters) && dangling.is_none_or(|wanted| wanted != used()) {
            found.push(spanning::show(network));
        }
    }
    for network in state.engine.networks().list().await {
        if !fits(&network, &filters) || spanning::is_part(&wide, &network) {
            continue;
        }
        if let Some(wanted) = dangling {
            let unused = !network.is_predefined() && state.engine.networks().endpoints(&network.id).await.is_empty();
            if unused != wanted {
                continue;
            }
        }
        found.push(show(&network));
    }
    Ok(Json(found))
}

fn fits(network: &Network, filters: &Filters) -> bool {
    filters.any("driver", |value| *value == driver(network))
        && filters.any("id", |value| network.id.starts_with(value.as_str()))
        && filters.any("name", |value| network.spec.name.contains(value.as_str()))
        && filters.any("scope", |value| value == scope(network))
        && filters.any("type", |value| network.is_predefined() == (value == "builtin"))
        && filters.labels(&network.spec.labels)
}

pub async fn inspect(
    With(state): With<State>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<dto::Network>, ApiError> {
    let scoped = params.text("scope").map(str::to_owned);
    let wide = spanning::find(&state, &id);
    if let Some(wide) = wide.filter(|_| scoped.as_deref().is_none_or(|scope| scope == "swarm")) {
        let mut shown = spanning::show(&wide);
        if let Some(network) = spanning::part(&state, &wide).await {
            members(&state, &network, &mut shown).await;
        }
        return Ok(Json(shown));
    }
    let network = state.engine.networks().inspect(&id).await?;
    if scoped.is_some_and(|wanted| wanted != scope(&network)) {
        return Err(ApiError::not_found(format!("network {id} not found")));
    }
    let mut shown = show(&network);
    members(&state, &network, &mut shown).await;
    Ok(Json(shown))
}

/// The containers of this machine that are on a network.
async fn members(state: &State, network: &Network, shown: &mut dto::Network) {
    for endpoint in state.engine.networks().endpoints(&network.id).await {
        let name = match state.engine.inspect(&endpoint.container).await {
            Ok(container) => container.name,
            Err(_) => continue,
        };
        shown.containers.insert(endpoint.container.clone(), member(name, &endpoint));
    }
}

fn member(name: String, endpoint: &Endpoint) -> dto::NetworkContainer {
    let cidr = |address: String, length: u8| format!("{address}/{length}");
    dto::NetworkContainer {
        name,
        endpoint_id: endpoint.id.clone(),
        mac_address: endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        ipv4_address: endpoint.ipv4.map(|(ip, length)| cidr(ip.to_string(), length)).unwrap_or_default(),
        ipv6_address: endpoint.ipv6.map(|(ip, length)| cidr(ip.to_string(), length)).unwrap_or_default(),
    }
}

/// Docker calls the driver of `none` by the name `null`.
fn driver(network: &Network) -> &str {
    match network.spec.driver.as_str() {
        "none" => "null",
        driver => driver,
    }
}

fn scope(network: &Network) -> &'static str {
    if network.overlay.is_some() { "swarm" } else { "local" }
}

fn show(network: &Network) -> dto::Network {
    let spec = &network.spec;
    dto::Network {
        name: spec.name.clone(),
        id: network.id.clone(),
        created: time::moment(Some(network.created)),
        scope: scope(network).to_owned(),
        driver: driver(network).to_owned(),
        enable_ipv4: spec.enable_ipv4,
        enable_ipv6: spec.enable_ipv6,
        ipam: dto::Ipam {
            driver: spec.ipam.driver.clone(),
            options: (!spec.ipam.options.is_empty()).then(|| spec.ipam.options.clone()),
            config: spec.ipam.config.iter().map(show_ipam).collect(),
        },
        internal: spec.internal,
        attachable: spec.attachable,
        ingress: spec.ingress,
        config_from: dto::ConfigFrom { network: spec.config_from.clone().unwrap_or_default() },
        config_only: spec.config_only,
        containers: BTreeMap::new(),
        options: spec.options.clone(),
        labels: spec.labels.clone(),
    }
}

fn show_ipam(config: &IpamConfig) -> dto::IpamConfig {
    dto::IpamConfig {
        subnet: config.subnet.map(|subnet| subnet.to_string()).unwrap_or_default(),
        ip_range: config.ip_range.map(|subnet| subnet.to_string()).unwrap_or_default(),
        gateway: config.gateway.map(|address| address.to_string()).unwrap_or_default(),
        auxiliary: config.aux_addresses.iter().map(|(name, ip)| (name.clone(), ip.to_string())).collect(),
    }
}

pub async fn create(
    With(state): With<State>,
    JsonBody(body): JsonBody<dto::Create>,
) -> Result<(StatusCode, Json<dto::Created>), ApiError> {
    if body.driver == OVERLAY {
        return spanning::create(&state, body).await;
    }
    let network = state.engine.networks().create(spec(body)?).await?;
    publish(&state, "create", &network);
    Ok((StatusCode::CREATED, Json(dto::Created { id: network.id, warning: String::new() })))
}

fn spec(body: dto::Create) -> Result<NetworkSpec, ApiError> {
    if body.ingress {
        return Err(ApiError::bad_request("Ingress networks belong to a cluster, which this node is not part of"));
    }
    if !matches!(body.scope.as_str(), "" | "local") {
        return Err(ApiError::bad_request(format!("networks of scope {:?} need a cluster", body.scope)));
    }
    let ipam = body.ipam.unwrap_or_default();
    let parse = |field: &str, text: &str| {
        text.parse().map_err(|_| ApiError::bad_request(format!("invalid {field} {text:?} of a network")))
    };
    let subnet = |field: &str, text: &str| match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| ApiError::bad_request(format!("invalid {field} {text:?}"))),
    };
    let mut config = Vec::new();
    for pool in ipam.config {
        let mut aux_addresses = BTreeMap::new();
        for (name, address) in pool.auxiliary {
            aux_addresses.insert(name, parse("auxiliary address", &address)?);
        }
        config.push(IpamConfig {
            subnet: subnet("subnet", &pool.subnet)?,
            ip_range: subnet("IP range", &pool.ip_range)?,
            gateway: match pool.gateway.as_str() {
                "" => None,
                text => Some(parse("gateway", text)?),
            },
            aux_addresses,
        });
    }
    Ok(NetworkSpec {
        name: body.name,
        driver: if body.driver.is_empty() { "bridge".to_owned() } else { body.driver },
        internal: body.internal,
        attachable: body.attachable,
        ingress: false,
        config_only: body.config_only,
        config_from: body.config_from.map(|from| from.network).filter(|name| !name.is_empty()),
        enable_ipv4: body.enable_ipv4.unwrap_or(true),
        enable_ipv6: body.enable_ipv6.unwrap_or(false),
        ipam: IpamSpec {
            driver: if ipam.driver.is_empty() { "default".to_owned() } else { ipam.driver },
            options: ipam.options.unwrap_or_default(),
            config,
        },
        options: body.options,
        labels: body.labels,
    })
}

fn publish(state: &State, action: &str, network: &Network) {
    let attributes = BTreeMap::from([
        ("name".to_owned(), network.spec.name.clone()),
        ("type".to_owned(), driver(network).to_owned()),
    ]);
    state.engine.events().publish("network", action, Actor { id: network.id.clone(), attributes });
}

pub async fn remove(With(state): With<State>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    if spanning::find(&state, &id).is_some() {
        return spanning::remove(&state, &id).await;
    }
    let network = state.engine.networks().remove(&id).await?;
    publish(&state, "destroy", &network);
    Ok(StatusCode::NO_CONTENT)
}

pub async fn connect(
    With(state): With<State>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<dto::Connect>,
) -> Result<StatusCode, ApiError> {
    let network = state.engine.networks().inspect(&id).await?;
    let attachment = endpoint(&network.spec.name, body.endpoint_config.unwrap_or_default())?;
    let container = state.engine.resolve(&body.container)?;
    state.engine.connect_network(container.as_str(), attachment).await?;
    Ok(StatusCode::OK)
}

pub async fn disconnect(
    With(state): With<State>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<dto::Disconnect>,
) -> Result<StatusCode, ApiError> {
    let network = state.engine.networks().inspect(&id).await?;
    let container = state.engine.resolve(&body.container)?;
    state.engine.disconnect_network(container.as_str(), &network.spec.name, body.force).await?;
    Ok(StatusCode::OK)
}

pub async fn prune(
    With(state): With<State>,
    params: Params,
    OptionalBody(_): OptionalBody<serde_json::Value>,
) -> Result<Json<dto::Pruned>, ApiError> {
    let filters = params.filters()?.only(&["label", "label!", "until"])?;
    let until = filters.until(state.now())?;
    let used: std::collections::BTreeSet<String> = attached(&state).await?;
    let mut deleted = Vec::new();
    let wide = spanning::all(&state);
    for network in wide.iter().filter(|network| network.project.is_none() && filters.labels(&network.spec.labels)) {
        let old = until.is_none_or(|until| network.meta.created < until);
        if old && spanning::remove(&state, network.id.as_str()).await.is_ok() {
            deleted.push(network.spec.name.clone());
        }
    }
    for network in state.engine.networks().list().await {
        let wanted = !network.is_predefined()
            && network.overlay.is_none()
            && filters.labels(&network.spec.labels)
            && until.is_none_or(|until| network.created < until)
            && !used.contains(&network.id)
            && !used.contains(&network.spec.name);
        // One that came into use meanwhile stays.
        if wanted && let Ok(network) = state.engine.networks().remove(&network.id).await {
            publish(&state, "destroy", &network);
            deleted.push(network.spec.name);
        }
    }
    let attributes = BTreeMap::from([("reclaimed".to_owned(), "0".to_owned())]);
    state.engine.events().publish("network", "prune", Actor { id: String::new(), attributes });
    Ok(Json(dto::Pruned { networks_deleted: (!deleted.is_empty()).then_some(deleted) }))
}

/// Networks, by name or id, that some container will be on when it starts.
async fn attached(state: &State) -> Result<std::collections::BTreeSet<String>, ApiError> {
    let options = hoist_engine::ListOptions { all: true, ..hoist_engine::ListOptions::default() };
    let containers = state.engine.list(options).await?;
    Ok(containers.into_iter().flat_map(|one| one.spec.networks).map(|network| network.network).collect())
}
