//! `/nodes`

use axum::{
    Json,
    extract::{Path, State as With},
    http::StatusCode,
};
use hoist_engine::Actor;
use hoist_proto::spec::Node;
use serde_json::Value;

use super::swarm::manager;
use crate::api::{
    State, body::JsonBody, dto::swarm as dto, error::ApiError, params::Params, translate::swarm as translate,
};

/// `GET /nodes`
pub async fn list(With(state): With<State>, params: Params) -> Result<Json<Vec<Value>>, ApiError> {
    let control = manager(&state)?;
    let filters = params.filters()?.only(&["id", "label", "membership", "name", "node.label", "role"])?;
    let leader = state.member.leader();
    let fits = |node: &Node| {
        let name = node.spec.name.as_deref().unwrap_or(&node.description.hostname);
        filters.any("id", |value| node.id.as_str().starts_with(value.as_str()))
            && filters.any("name", |value| name.starts_with(value.as_str()))
            && filters.any("role", |value| value == translate::role(node.spec.role))
            && filters.any("membership", |value| value == "accepted")
            && filters.labels(&node.description.engine_labels)
            && filters.any("node.label", |value| match value.split_once('=') {
                Some((key, value)) => node.spec.labels.get(key).is_some_and(|label| label == value),
                None => node.spec.labels.contains_key(value),
            })
    };
    let nodes = control.nodes();
    Ok(Json(nodes.iter().filter(|node| fits(node)).map(|node| translate::node(node, leader)).collect()))
}

/// The node that `self` means here, or the name as it is.
fn named(state: &State, name: String) -> String {
    match state.member.node() {
        Some(node) if name == "self" => node.to_string(),
        _ => name,
    }
}

/// `GET /nodes/{id}`
pub async fn inspect(With(state): With<State>, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    let control = manager(&state)?;
    let node = control.node(&named(&state, name))?;
    Ok(Json(translate::node(&node, state.member.leader())))
}

/// `POST /nodes/{id}/update`
pub async fn update(
    With(state): With<State>,
    Path(name): Path<String>,
    params: Params,
    JsonBody(body): JsonBody<dto::NodeSpec>,
) -> Result<StatusCode, ApiError> {
    let control = manager(&state)?;
    let version: u64 =
        params.number("version")?.ok_or_else(|| ApiError::bad_request("invalid node version: it is missing"))?;
    control.update_node(&name, Some(version), translate::node_spec(body)?).await?;
    if let Ok(node) = control.node(&name) {
        publish(&state, "update", &node);
    }
    Ok(StatusCode::OK)
}

/// `DELETE /nodes/{id}`
pub async fn remove(
    With(state): With<State>,
    Path(name): Path<String>,
    params: Params,
) -> Result<StatusCode, ApiError> {
    let control = manager(&state)?;
    let node = control.node(&name)?;
    control.remove_node(&name, params.flag("force")).await?;
    publish(&state, "remove", &node);
    Ok(StatusCode::OK)
}

fn publish(state: &State, action: &str, node: &Node) {
    let name = node.spec.name.as_deref().unwrap_or(&node.description.hostname);
    let attributes = [("name".to_owned(), name.to_owned())].into();
    state.engine.events().publish("node", action, Actor { id: node.id.to_string(), attributes });
}
