//! `GET /distribution/{name}/json`: what a registry has under a name.

use axum::extract::Path;

use crate::api::error::ApiError;

pub async fn inspect(Path(path): Path<String>) -> Result<(), ApiError> {
    let name = path.strip_suffix("/json").ok_or_else(|| ApiError::not_found("page not found"))?;
    let reference = hoist_image::Reference::parse(name)?;
    Err(ApiError::not_implemented(format!(
        "{}: asking a registry without pulling is not supported yet",
        reference.familiar()
    )))
}
