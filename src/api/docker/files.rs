//! `/secrets` and `/configs`.

use std::{collections::BTreeMap, str::FromStr};

use axum::{
    Json,
    extract::{Path, State as With},
    http::StatusCode,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoist_engine::Actor;
use hoist_manager::control::{FileChange, StoredFile};
use hoist_proto::spec::DriverChoice;

use crate::api::{
    State,
    body::JsonBody,
    docker::{auth, swarm},
    dto::{file as dto, service as services},
    error::ApiError,
    params::Params,
    translate::time,
};

pub async fn list<T: StoredFile>(With(state): With<State>, params: Params) -> Result<Json<Vec<dto::File>>, ApiError> {
    swarm::required(&state)?;
    let filters = params.filters()?.only(&["id", "label", "label!", "name", "names"])?;
    let fits = |file: &T| {
        let name = |value: &String| file.name().starts_with(value.as_str());
        filters.any("id", |value| file.id().to_string().starts_with(value.as_str()))
            && filters.any("name", name)
            && filters.any("names", |value| file.name() == value)
            && filters.labels(file.labels())
    };
    Ok(Json(state.control()?.files::<T>().iter().filter(|file| fits(file)).map(|file| show(&**file)).collect()))
}

pub async fn inspect<T: StoredFile>(
    With(state): With<State>,
    Path(id): Path<String>,
) -> Result<Json<dto::File>, ApiError>
where
    T::Id: FromStr,
{
    swarm::required(&state)?;
    Ok(Json(show(&*state.control()?.file::<T>(&id)?)))
}

fn show<T: StoredFile>(file: &T) -> dto::File {
    let meta = file.meta();
    dto::File {
        id: file.id().to_string(),
        version: services::Version { index: meta.version },
        created_at: time::moment(Some(meta.created)),
        updated_at: time::moment(Some(meta.updated)),
        spec: dto::FileSpec {
            name: file.name().to_owned(),
            labels: file.labels().clone(),
            data: (T::WORD == "config").then(|| STANDARD.encode(file.data())),
            driver: None,
            templating: file
                .templating()
                .map(|driver| services::Driver { name: driver.name.clone(), options: driver.options.clone() }),
        },
    }
}

pub async fn create<T: StoredFile>(
    With(state): With<State>,
    JsonBody(body): JsonBody<dto::FileSpec>,
) -> Result<(StatusCode, Json<dto::Created>), ApiError> {
    swarm::required(&state)?;
    if let Some(driver) = &body.driver {
        return Err(ApiError::not_implemented(format!(
            "{} driver {:?} is not supported: contents are kept by the cluster itself",
            T::WORD,
            driver.name
        )));
    }
    let data = decode::<T>(body.data.as_deref())?.unwrap_or_default();
    let templating = body.templating.map(|driver| DriverChoice { name: driver.name, options: driver.options });
    let name = body.name.clone();
    let id = state.control()?.create_file::<T>(body.name, body.labels, data, templating).await?.to_string();
    publish::<T>(&state, "create", &id, &name);
    Ok((StatusCode::CREATED, Json(dto::Created { id })))
}

fn decode<T: StoredFile>(data: Option<&str>) -> Result<Option<Vec<u8>>, ApiError> {
    let decode =
        |text| auth::bytes(text).ok_or_else(|| ApiError::bad_request(format!("{}: Data is not base64", T::WORD)));
    data.map(decode).transpose()
}

pub async fn update<T: StoredFile>(
    With(state): With<State>,
    Path(id): Path<String>,
    params: Params,
    JsonBody(body): JsonBody<dto::FileSpec>,
) -> Result<StatusCode, ApiError>
where
    T::Id: FromStr,
{
    swarm::required(&state)?;
    let version = params.number("version")?.ok_or_else(|| {
        ApiError::bad_request(format!("invalid {} version: the version that was read must be given", T::WORD))
    })?;
    let data = decode::<T>(body.data.as_deref())?;
    let file = state.control()?.file::<T>(&id)?;
    let change = FileChange { name: body.name, labels: body.labels, data };
    state.control()?.update_file::<T>(&file.id().to_string(), version, change).await?;
    publish::<T>(&state, "update", &file.id().to_string(), file.name());
    Ok(StatusCode::OK)
}

/// `POST /hoist/v1/secrets/{id}/rotate`, `POST /hoist/v1/configs/{id}/rotate`.
pub async fn rotate<T: StoredFile>(
    With(state): With<State>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<dto::Rotate>,
) -> Result<Json<dto::Rotated>, ApiError>
where
    T::Id: FromStr,
{
    swarm::required(&state)?;
    let data = decode::<T>(Some(&body.data))?.unwrap_or_default();
    let name = state.control()?.file::<T>(&id)?.name().to_owned();
    let (new, services) = state.control()?.rotate_file::<T>(&id, data).await?;
    publish::<T>(&state, "update", &new.to_string(), &name);
    Ok(Json(dto::Rotated { id: new.to_string(), services: services.iter().map(ToString::to_string).collect() }))
}

pub async fn remove<T: StoredFile>(With(state): With<State>, Path(id): Path<String>) -> Result<StatusCode, ApiError>
where
    T::Id: FromStr,
{
    swarm::required(&state)?;
    let removed = state.control()?.remove_file::<T>(&id).await?;
    publish::<T>(&state, "remove", &removed.id().to_string(), removed.name());
    Ok(StatusCode::NO_CONTENT)
}

fn publish<T: StoredFile>(state: &State, action: &str, id: &str, name: &str) {
    let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
    state.engine.events().publish(T::WORD, action, Actor { id: id.to_owned(), attributes });
}
