//! The cluster's whole state, saved and restored.

use axum::{Json, body::Bytes, extract::State as With, http::HeaderMap};
use hoist_link::UnlockKey;

use crate::{
    api::{
        State,
        docker::swarm::{advertised, manager},
        dto::swarm::SNAPSHOT_KEY as KEY,
        error::ApiError,
        params::Params,
    },
    member::Restore,
};

fn key(headers: &HeaderMap) -> Result<UnlockKey, ApiError> {
    let text = headers.get(KEY).and_then(|value| value.to_str().ok());
    let text = text.ok_or_else(|| ApiError::bad_request(format!("the header {KEY} is missing: a key SWMKEY-1-…")))?;
    text.parse().map_err(|_| ApiError::bad_request("the snapshot's key is malformed: it begins with SWMKEY-1-"))
}

/// `POST /hoist/v1/swarm/snapshot`: the state, sealed with the key that the caller brings.
pub async fn save(With(state): With<State>, headers: HeaderMap) -> Result<Bytes, ApiError> {
    let key = key(&headers)?;
    Ok(manager(&state)?.save(key).await?.into())
}

/// `POST /hoist/v1/swarm/restore`: this machine becomes the only manager of the cluster in the body.
pub async fn restore(
    With(state): With<State>,
    params: Params,
    headers: HeaderMap,
    sealed: Bytes,
) -> Result<Json<String>, ApiError> {
    let text = |name: &str| params.text(name).unwrap_or_default().to_owned();
    let restore = Restore {
        listen: text("listen"),
        advertise: advertised(&state, text("advertise")),
        data_address: text("data-path"),
        sealed: sealed.into(),
        key: key(&headers)?,
    };
    Ok(Json(state.member.restore(restore).await?.to_string()))
}
