//! `/images`. A name may have slashes in it, so that the paths are taken apart here.

pub mod archive;
pub mod inspect;
pub mod list;
pub mod pull;
pub mod push;
pub mod remove;
pub mod search;

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::{Path, State as With},
    http::{HeaderMap, Method},
    response::{IntoResponse, Response},
};

use crate::api::{State, error::ApiError, params::Params, version::ApiVersion};

/// `/images/{name}` and `/images/{name}/{verb}`.
pub async fn named(
    With(state): With<State>,
    Path(path): Path<String>,
    method: Method,
    version: ApiVersion,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let page_not_found = || ApiError::not_found("page not found");
    if method == Method::DELETE {
        return remove::remove(state, &path, params).await.map(IntoResponse::into_response);
    }
    let (name, verb) = path.rsplit_once('/').ok_or_else(page_not_found)?;
    match (method.as_str(), verb) {
        ("GET" | "HEAD", "json") => inspect::inspect(state, name, inspect::spoken(version, &headers), params)
            .await
            .map(IntoResponse::into_response),
        ("GET", "history") => inspect::history(state, name, params).await.map(IntoResponse::into_response),
        ("GET", "get") => archive::save(state, vec![name.to_owned()], params).await,
        // They are in an index beside an image, and only the image is kept: an empty list would say that it has none.
        ("GET", "attestations") => Err(ApiError::not_implemented("attestations of images are not kept")),
        ("POST", "tag") => remove::tag(state, name, params).await.map(IntoResponse::into_response),
        ("POST", "push") => push::push(state, name, &headers, params).await,
        _ => Err(page_not_found()),
    }
}

/// The body of a request as a reader.
pub fn reader(body: Body) -> impl tokio::io::AsyncRead + Send + Unpin + 'static {
    use futures_util::TryStreamExt;
    tokio_util::io::StreamReader::new(body.into_data_stream().map_err(std::io::Error::other))
}

/// The containers there are, as images see them.
///
/// # Errors
/// Those of the engine.
pub async fn used_by(state: &State) -> Result<Vec<hoist_image::ContainerUse>, ApiError> {
    let options = hoist_engine::ListOptions { all: true, ..hoist_engine::ListOptions::default() };
    Ok(users(state.engine.list(options).await?))
}

/// Containers as images see them.
pub fn users(containers: Vec<hoist_engine::Container>) -> Vec<hoist_image::ContainerUse> {
    containers
        .into_iter()
        .filter_map(|one| {
            Some(hoist_image::ContainerUse {
                image: one.image_id.parse().ok()?,
                container: one.id.to_string(),
                image_name: one.spec.image,
                running: one.state.status.is_up(),
            })
        })
        .collect()
}

/// Tells everybody what happened to an image that is no more, or is none.
pub fn publish(state: &State, action: &str, id: &str, name: &str) {
    told(state, action, (id, name), BTreeMap::new());
}

/// Tells everybody what happened to an image, with its labels as Docker does.
pub fn publish_with(state: &State, action: &str, named: (&str, &str), image: &hoist_image::Image) {
    told(state, action, named, image.config.config.labels.clone());
}

fn told(state: &State, action: &str, (id, name): (&str, &str), mut attributes: BTreeMap<String, String>) {
    attributes.insert("name".to_owned(), name.to_owned());
    state.engine.events().publish("image", action, hoist_engine::Actor { id: id.to_owned(), attributes });
}
