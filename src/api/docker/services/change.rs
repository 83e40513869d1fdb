//! `POST /services/create`, `POST /services/{id}/update` and `DELETE /services/{id}`.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State as With},
    http::{HeaderMap, StatusCode},
};
use hoist_engine::Actor;
use hoist_manager::control::{ControlError, RegistryAuthFrom, ServiceChange};
use hoist_proto::spec::{RegistryAuth, ServiceSpec, TaskImage};

use crate::api::{
    State,
    body::JsonBody,
    docker::{auth, swarm},
    dto::service as dto,
    error::ApiError,
    params::Params,
    translate::service::{self, Around},
};

pub async fn create(
    With(state): With<State>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<dto::ServiceSpec>,
) -> Result<(StatusCode, Json<dto::Created>), ApiError> {
    swarm::required(&state)?;
    let mut spec = translate(&state, body, None).await?;
    spec.task.registry_auth = credentials(&headers)?;
    let name = spec.name.clone();
    let id = match state.control()?.create_service(spec).await {
        Ok(id) => id,
        Err(error) => return Err(explain(&state, error).await),
    };
    publish(&state, "create", id.as_str(), &name);
    Ok((StatusCode::CREATED, Json(dto::Created { id: id.to_string(), warnings: None })))
}

pub async fn update(
    With(state): With<State>,
    Path(id): Path<String>,
    params: Params,
    headers: HeaderMap,
    JsonBody(body): JsonBody<dto::ServiceSpec>,
) -> Result<Json<dto::Updated>, ApiError> {
    swarm::required(&state)?;
    let version = params
        .number("version")?
        .ok_or_else(|| ApiError::bad_request("invalid service version '': the version that was read must be given"))?;
    let auth = match params.text("registryAuthFrom") {
        None | Some("spec") => RegistryAuthFrom::Spec,
        Some("previous-spec") => RegistryAuthFrom::PreviousSpec,
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "invalid registryAuthFrom {other:?}: expected spec or previous-spec"
            )));
        }
    };
    let there = state.control()?.service(&id)?;
    let change = match params.text("rollback") {
        None | Some("none") => {
            let mut spec = translate(&state, body, Some(&there.spec)).await?;
            spec.task.registry_auth = credentials(&headers)?;
            ServiceChange::To(Box::new(spec))
        }
        Some("previous") => ServiceChange::Back,
        Some(other) => return Err(ApiError::bad_request(format!("unrecognized rollback option {other}"))),
    };
    if let Err(error) = state.control()?.update_service(&there.id, version, change, auth).await {
        return Err(explain(&state, error).await);
    }
    publish(&state, "update", there.id.as_str(), &there.spec.name);
    Ok(Json(dto::Updated::default()))
}

pub async fn remove(With(state): With<State>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    swarm::required(&state)?;
    let removed = state.control()?.remove_service(&id).await?;
    publish(&state, "remove", removed.id.as_str(), &removed.spec.name);
    Ok(StatusCode::OK)
}

/// `POST /hoist/v1/services/{id}/rebalance`.
pub async fn rebalance(With(state): With<State>, Path(id): Path<String>) -> Result<Json<serde_json::Value>, ApiError> {
    swarm::required(&state)?;
    let moved = state.control()?.rebalance(&id).await?;
    Ok(Json(serde_json::json!({ "Moved": moved })))
}

async fn translate(state: &State, body: dto::ServiceSpec, base: Option<&ServiceSpec>) -> Result<ServiceSpec, ApiError> {
    let predefined = state
        .engine
        .networks()
        .list()
        .await
        .into_iter()
        .filter(|network| network.is_predefined())
        .map(|network| (network.id, network.spec.name))
        .collect();
    let mut spec = service::service(body, Around { base, predefined: &predefined })?;
    // Other nodes get the very image that is here, whether a registry has it or not.
    let here = state.engine.images().get(&spec.task.container.image).await;
    spec.task.image =
        here.ok().zip(state.member.node()).map(|(image, node)| TaskImage { id: image.id.to_string(), node });
    Ok(spec)
}

/// The header as it came, once it is known to hold credentials.
fn credentials(headers: &HeaderMap) -> Result<Option<RegistryAuth>, ApiError> {
    let given = auth::from_headers(headers)?.is_some();
    let text = headers.get(auth::HEADER).and_then(|value| value.to_str().ok()).filter(|_| given);
    Ok(text.map(|text| RegistryAuth(text.to_owned())))
}

/// A network that is there, and that only this machine has, is another matter than none.
async fn explain(state: &State, error: ControlError) -> ApiError {
    if let ControlError::NoSuchNetwork(name) = &error
        && state.engine.networks().inspect(name).await.is_ok()
    {
        return ApiError::new(
            StatusCode::FORBIDDEN,
            format!(
                "network {name} is not eligible for services: it is this machine's alone; an overlay spans machines"
            ),
        );
    }
    error.into()
}

fn publish(state: &State, action: &str, id: &str, name: &str) {
    let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
    state.engine.events().publish("service", action, Actor { id: id.to_owned(), attributes });
}
