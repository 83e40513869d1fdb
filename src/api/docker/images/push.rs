//! `POST /images/{name}/push`, and the answer for those who search.

use std::sync::Arc;

use axum::{Json, http::HeaderMap, response::Response};
use hoist_image::{PushOptions, Pushed};
use serde_json::{Value, json};

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
    if platform(&params)?.is_some() {
        return Err(ApiError::bad_request("platform is not supported in a push: an image here has one"));
    }
    let reference = reference(name, params.text("tag"))?;
    let options = PushOptions { auth: auth::from_headers(headers)? };
    let board = Arc::new(Board::default());
    let progress = board.clone();
    let tag = reference.tag().unwrap_or("latest").to_owned();
    let work = async move {
        let pushed = state.engine.images().push(&reference, options, progress).await?;
        publish(&state, "push", &reference.familiar(), &reference.familiar_name());
        Ok(pushed)
    };
    progress::respond(board, work, false, move |pushed: Pushed| {
        let (digest, size) = (pushed.digest.to_string(), pushed.size);
        vec![Progress { aux: Some(json!({"Tag": tag, "Digest": digest, "Size": size})), ..Progress::default() }]
    })
    .await
}

/// `GET /images/search`: registries that speak the distribution API have no search.
pub async fn search(params: Params) -> Result<Json<Value>, ApiError> {
    let term = params.text("term").ok_or_else(|| ApiError::bad_request("term must be given"))?;
    params.filters()?.only(&["is-automated", "is-official", "stars"])?;
    Err(ApiError::not_implemented(format!(
        "cannot search for {term:?}: the registry protocol has no search, and Hoist asks no other service"
    )))
}
