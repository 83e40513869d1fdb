//! `POST /images/{name}/push`.

use std::sync::Arc;

use axum::{http::HeaderMap, response::Response};
use hoist_image::{ListFilter, PushOptions, Pushed, Reference};
use serde_json::json;

use super::{inspect::platform, publish, pull::reference};
use crate::api::{
    State,
    docker::auth,
    dto::image::Progress,
    error::ApiError,
    params::Params,
    stream::progress::{self, Board},
};

pub async fn push(state: State, name: &str, headers: &HeaderMap, params: Params) -> Result<Response, ApiError> {
    let platform = platform(&params)?;
    let auth = auth::from_headers(headers)?;
    let references = match params.text("tag") {
        None if Reference::parse(name)?.tag().is_none() => all_tags(&state, name).await?,
        tag => vec![reference(name, tag)?],
    };
    let board = Arc::new(Board::default());
    let progress = board.clone();
    let work = async move {
        let mut pushed = Vec::new();
        for reference in references {
            let options = PushOptions { auth: auth.clone(), platform: platform.clone(), ..PushOptions::default() };
            let done = state.engine.images().push(&reference, options, progress.clone()).await?;
            publish(&state, "push", &reference.familiar(), &reference.familiar_name());
            pushed.push((reference.tag().unwrap_or("latest").to_owned(), done));
        }
        Ok(pushed)
    };
    progress::respond(board, work, false, |pushed: Vec<(String, Pushed)>| {
        let line = |(tag, done): (String, Pushed)| {
            let (digest, size) = (done.digest.to_string(), done.size);
            Progress { aux: Some(json!({"Tag": tag, "Digest": digest, "Size": size})), ..Progress::default() }
        };
        pushed.into_iter().map(line).collect()
    })
    .await
}

/// Every name that this machine has in a repository.
async fn all_tags(state: &State, name: &str) -> Result<Vec<Reference>, ApiError> {
    let repository = Reference::parse(name)?;
    let images = state.engine.images().list(&ListFilter::default()).await?;
    let names = images.iter().flat_map(|image| &image.repo_tags).filter_map(|tag| Reference::parse(tag).ok());
    let mut found: Vec<Reference> = names.filter(|one| one.name() == repository.name()).collect();
    found.sort_by_key(Reference::familiar);
    if found.is_empty() {
        let message = format!("An image does not exist locally with the tag: {}", repository.familiar_name());
        return Err(ApiError::not_found(message));
    }
    Ok(found)
}
