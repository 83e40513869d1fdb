//! `GET /distribution/{name}/json`: what a registry has under a name.

use axum::{
    Json,
    extract::{Path, State as With},
    http::HeaderMap,
};
use hoist_image::Reference;

use super::auth;
use crate::api::{State, dto::image::Distribution, error::ApiError};

pub async fn inspect(
    With(state): With<State>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Distribution>, ApiError> {
    let name = path.strip_suffix("/json").ok_or_else(|| ApiError::not_found("page not found"))?;
    let reference = Reference::parse(name)?;
    let (descriptor, platforms) = state.engine.images().remote(&reference, auth::from_headers(&headers)?).await?;
    Ok(Json(Distribution { descriptor, platforms }))
}
