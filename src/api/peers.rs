//! What other nodes of the cluster may have of this node's images, as a registry gives it (OCI distribution, "Pull").
//!
//! Documents and blobs go out by digest, and an image by a tag made of its id; names are no one's here. `/images` tells
//! a manager whether an image that was just built here is meant by a name.

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State as With},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hoist_image::Images;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::error::ApiError;

const PART: usize = 256 << 10;

/// The routes, for connections that came through the cluster.
pub fn router(images: Images) -> Router {
    Router::new()
        .route("/v2/", get(|| async { StatusCode::OK }))
        .route("/v2/{*path}", get(serve))
        .route("/images", get(find))
        .with_state(images)
}

#[derive(Debug, Deserialize)]
struct Asked {
    name: String,
}

/// Which image a name stands for on a node.
#[derive(Debug, Serialize, Deserialize)]
pub struct Found {
    pub id: String,
}

async fn find(With(images): With<Images>, Query(asked): Query<Asked>) -> Result<Json<Found>, ApiError> {
    Ok(Json(Found { id: images.get(&asked.name).await?.id.to_string() }))
}

async fn serve(With(images): With<Images>, Path(path): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found("page not found");
    let mut words = path.rsplit('/');
    let (what, kind) = (words.next().ok_or_else(missing)?, words.next().ok_or_else(missing)?);
    match kind {
        "manifests" => {
            let manifest = images.peer_manifest(what).await?;
            let digest = manifest.digest.to_string();
            let headers = [(header::CONTENT_TYPE.as_str(), manifest.media_type), ("docker-content-digest", digest)];
            Ok((headers, manifest.bytes).into_response())
        }
        "blobs" => blob(&images, what, &headers).await,
        _ => Err(missing()),
    }
}

/// A blob, from where the caller's transfer broke off.
async fn blob(images: &Images, digest: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let blob = images.peer_blob(digest)?;
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let from = range.and_then(|text| text.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<u64>().ok());
    let size = blob.size;
    let start = from.unwrap_or(0);
    if start > size {
        return Ok(StatusCode::RANGE_NOT_SATISFIABLE.into_response());
    }
    let lost = |error: std::io::Error| ApiError::internal(format!("read blob {digest}: {error}"));
    let mut file = tokio::fs::File::from_std(blob.file.try_clone().map_err(lost)?);
    file.seek(std::io::SeekFrom::Start(start)).await.map_err(lost)?;
    let left = size - start;
    let mut parts = ReaderStream::with_capacity(file.take(left), PART);
    let body = async_stream::stream! {
        // The blob is kept until it is sent.
        let _kept = blob;
        while let Some(part) = futures_util::StreamExt::next(&mut parts).await {
            yield part;
        }
    };
    let status = if from.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut response = (status, Body::from_stream(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, left.into());
    if from.is_some() {
        let range = format!("bytes {start}-{}/{size}", size.saturating_sub(1));
        headers.insert(header::CONTENT_RANGE, range.parse().map_err(|_| ApiError::internal("a malformed range"))?);
    }
    Ok(response)
}
