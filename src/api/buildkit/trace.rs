//! `POST /build` with `version=2`: the build's files are on a session, what happens comes as lines.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::Engine as _;
use bytes::Bytes;
use prost::Message;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    attributes::{self, Files, Wish},
    work::Work,
};
use crate::api::{
    State,
    build::{self, ReadyContext, Waiting},
    docker::{build::params, images::reader},
    error::ApiError,
    params::Params,
    stream::alive::kept_alive,
};

/// Says that the context comes in another request, and which.
const UPLOAD: &str = "upload-request";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Exporter {
    r#type: String,
    #[serde(default)]
    attrs: Option<BTreeMap<String, String>>,
}

/// A build of a client that speaks BuildKit's protocol in part.
///
/// # Errors
/// 400 for parameters that are not supported; what fails later is told in the stream.
pub async fn build(state: State, headers: &HeaderMap, query: &Params, body: Body) -> Result<Response, ApiError> {
    let name = query.text("buildid").unwrap_or_default().to_owned();
    if let Some(build) = name.strip_prefix(UPLOAD).and_then(|rest| rest.strip_prefix(':')) {
        let dir = build::unpack_context(&state.builds, reader(body)).await?;
        state.builds.solves.upload(build, Arc::new(ReadyContext::Unpacked(dir)));
        return Ok(StatusCode::OK.into_response());
    }
    let session = match query.text("session").filter(|id| !id.is_empty()) {
        Some(id) => Some(state.builds.sessions.find(id).await?),
        None => None,
    };
    let wish = wish(headers, query).inspect_err(|_| {
        // A client whose build is refused while it still opens its session waits for that session's end.
        if let Some(session) = &session {
            session.gone.cancel();
        }
    })?;
    let quiet = query.flag("q");
    let uploads = query.text("remote") == Some(UPLOAD);
    let lines = async_stream::stream! {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let builds = state.builds.clone();
        let work = Work { state, id: name.clone(), session, tell: Arc::new(move |status| drop(tell.send(status))) };
        let building = async move {
            let mut wish = wish;
            if uploads {
                let context = builds.solves.uploaded(&name).await;
                wish.order.context = Some(builds.wait(Waiting::Ready(context)));
            }
            work.build(wish).await
        };
        let mut building = std::pin::pin!(building);
        let result = loop {
            tokio::select! {
                biased;
                Some(status) = told.recv() => yield line(&trace(&status)),
                result = &mut building => break result,
            }
        };
        while let Ok(status) = told.try_recv() {
            yield line(&trace(&status));
        }
        match result {
            Ok(result) => {
                if let Some(image) = result.image {
                    yield line(&json!({ "id": "moby.image.id", "aux": { "ID": image } }));
                    if quiet {
                        yield line(&json!({ "stream": format!("{image}\n") }));
                    }
                }
            }
            Err(message) => yield line(&json!({ "errorDetail": { "message": message }, "error": message })),
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(kept_alive(lines))).into_response())
}

fn wish(headers: &HeaderMap, query: &Params) -> Result<Wish, ApiError> {
    let mut order = params::order(query, headers)?;
    order.outputs.clear();
    let mut files = Files::default();
    if let Some(name) = query.text("dockerfile").filter(|name| !name.is_empty()) {
        files.filename = name.to_owned();
    }
    files.remote = query
        .text("remote")
        .filter(|remote| !remote.is_empty() && *remote != "client-session" && *remote != UPLOAD)
        .map(str::to_owned);
    let mut wish = Wish { order, files, numbers: Vec::new() };
    let exporters: Option<Vec<Exporter>> = match query.text("outputs").filter(|text| !text.is_empty()) {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| ApiError::bad_request(format!("invalid value of outputs: {error}")))?,
        None => None,
    };
    let mut exporters: Vec<_> =
        exporters.into_iter().flatten().map(|one| (one.r#type, one.attrs.unwrap_or_default())).collect();
    if exporters.is_empty() {
        exporters.push(("moby".to_owned(), BTreeMap::new()));
    }
    attributes::outputs(&mut wish, exporters).map_err(ApiError::bad_request)?;
    Ok(wish)
}

fn trace(status: &super::words::control::StatusResponse) -> Value {
    json!({ "id": "moby.buildkit.trace", "aux": base64::prelude::BASE64_STANDARD.encode(status.encode_to_vec()) })
}

fn line(value: &Value) -> std::io::Result<Bytes> {
    Ok(format!("{value}\r\n").into())
}
