//! `/volumes`.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State as With},
    http::StatusCode,
};
use hoist_engine::Actor;
use hoist_proto::spec::VolumeSpec;
use hoist_volume::{PruneOptions, Volume, Volumes};

use crate::api::{
    State, body::OptionalBody, dto::volume as dto, error::ApiError, params::Params, translate::time,
    version::ApiVersion,
};

/// Calls of volumes block on the file system.
pub async fn blocking<T: Send + 'static>(
    state: &State,
    call: impl FnOnce(&Volumes) -> Result<T, hoist_volume::Error> + Send + 'static,
) -> Result<T, ApiError> {
    let volumes = state.engine.volumes().clone();
    let answer = tokio::task::spawn_blocking(move || call(&volumes)).await;
    Ok(answer.map_err(|err| ApiError::internal(format!("volumes: {err}")))??)
}

pub async fn list(With(state): With<State>, params: Params) -> Result<Json<dto::VolumeList>, ApiError> {
    let filters = params.filters()?.only(&["dangling", "driver", "label", "label!", "name"])?;
    let dangling = filters.flag("dangling")?;
    let volumes = blocking(&state, |volumes| Ok(volumes.list())).await?;
    let fits = |volume: &Volume| {
        filters.any("driver", |value| *value == volume.driver)
            && filters.any("name", |value| volume.name.contains(value.as_str()))
            && filters.labels(&volume.labels)
            && dangling.is_none_or(|dangling| volume.users.is_empty() == dangling)
    };
    let volumes = volumes.iter().filter(|volume| fits(volume)).map(show).collect();
    Ok(Json(dto::VolumeList { volumes, warnings: None }))
}

/// A volume as Docker shows it.
pub fn show(volume: &Volume) -> dto::Volume {
    dto::Volume {
        created_at: time::moment(Some(volume.created)),
        driver: volume.driver.clone(),
        labels: (!volume.labels.is_empty()).then(|| volume.labels.clone()),
        mountpoint: volume.mountpoint.to_string_lossy().into_owned(),
        name: volume.name.clone(),
        options: (!volume.options.is_empty()).then(|| volume.options.clone()),
        scope: "local".to_owned(),
        usage_data: None,
    }
}

pub async fn create(
    With(state): With<State>,
    OptionalBody(body): OptionalBody<dto::Create>,
) -> Result<(StatusCode, Json<dto::Volume>), ApiError> {
    if body.cluster_volume_spec.is_some() {
        return Err(ApiError::bad_request("cluster volumes are not supported"));
    }
    let spec =
        VolumeSpec { name: body.name, driver: body.driver, driver_options: body.driver_opts, labels: body.labels };
    let name = spec.name.clone();
    let (existed, volume) = blocking(&state, move |volumes| {
        let existed = !name.is_empty() && volumes.inspect(&name).is_ok();
        Ok((existed, volumes.create(spec)?))
    })
    .await?;
    if !existed {
        publish(&state, "create", &volume.name, BTreeMap::from([("driver".to_owned(), volume.driver.clone())]));
    }
    Ok((StatusCode::CREATED, Json(show(&volume))))
}

fn publish(state: &State, action: &str, name: &str, attributes: BTreeMap<String, String>) {
    state.engine.events().publish("volume", action, Actor { id: name.to_owned(), attributes });
}

pub async fn inspect(With(state): With<State>, Path(name): Path<String>) -> Result<Json<dto::Volume>, ApiError> {
    let volume = blocking(&state, move |volumes| volumes.inspect(&name)).await?;
    Ok(Json(show(&volume)))
}

/// `PUT /volumes/{name}` changes cluster volumes, and there are none.
pub async fn update(Path(name): Path<String>) -> ApiError {
    ApiError::unavailable(format!(
        "volume {name}: only cluster volumes can be changed, and this node is not part of a cluster"
    ))
}

pub async fn remove(
    With(state): With<State>,
    Path(name): Path<String>,
    params: Params,
) -> Result<StatusCode, ApiError> {
    let wanted = name.clone();
    let removed = blocking(&state, move |volumes| {
        let driver = volumes.inspect(&wanted)?.driver;
        volumes.remove(&wanted).map(|()| driver)
    })
    .await;
    match removed {
        Ok(driver) => publish(&state, "destroy", &name, BTreeMap::from([("driver".to_owned(), driver)])),
        // `force` makes it no error that there is none.
        Err(err) if err.status == StatusCode::NOT_FOUND && params.flag("force") => {}
        Err(err) => return Err(err),
    }
    Ok(StatusCode::NO_CONTENT)
}

pub async fn prune(
    With(state): With<State>,
    version: ApiVersion,
    params: Params,
) -> Result<Json<dto::Pruned>, ApiError> {
    let filters = params.filters()?.only(&["all", "label", "label!"])?;
    let options = PruneOptions {
        // Before version 1.42 volumes with a name went too.
        all: filters.flag("all")?.unwrap_or(version < ApiVersion(1, 42)),
        labels: filters.get("label").to_vec(),
        without_labels: filters.get("label!").to_vec(),
    };
    let report = blocking(&state, move |volumes| volumes.prune(&options)).await?;
    for name in &report.removed {
        publish(&state, "destroy", name, BTreeMap::from([("driver".to_owned(), "local".to_owned())]));
    }
    publish(&state, "prune", "", BTreeMap::from([("reclaimed".to_owned(), report.reclaimed.to_string())]));
    Ok(Json(dto::Pruned {
        volumes_deleted: (!report.removed.is_empty()).then_some(report.removed),
        space_reclaimed: report.reclaimed,
    }))
}
