//! `GET /containers/{id}/json` and `GET /containers/{id}/top`.

use axum::{
    Json,
    extract::{Path, State as With},
};

use crate::api::{
    State,
    dto::container::{Inspect, Top},
    error::ApiError,
    params::Params,
    translate::inspect,
    version::ApiVersion,
};

pub async fn inspect(
    With(state): With<State>,
    Path(id): Path<String>,
    version: ApiVersion,
    params: Params,
) -> Result<Json<Inspect>, ApiError> {
    let container = state.engine.inspect(&id).await?;
    let mut shown = inspect::inspect(&container, version);
    if params.flag("size") {
        let (own, all) = state.engine.size(container.id.as_str()).await?;
        shown.size_rw = i64::try_from(own).ok();
        shown.size_root_fs = i64::try_from(all).ok();
    }
    Ok(Json(shown))
}

pub async fn top(With(state): With<State>, Path(id): Path<String>, params: Params) -> Result<Json<Top>, ApiError> {
    let top = state.engine.top(&id, params.text("ps_args").unwrap_or("-ef")).await?;
    Ok(Json(Top { titles: top.titles, processes: top.processes }))
}
