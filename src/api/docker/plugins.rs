//! `/plugins`: there are none.

use axum::extract::Path;

use crate::api::error::ApiError;

/// Whatever is asked of one.
pub async fn missing(Path(path): Path<String>) -> ApiError {
    let name = path.rsplit_once('/').map_or(path.as_str(), |(name, _)| name);
    ApiError::not_found(format!("plugin \"{name}\" not found"))
}
