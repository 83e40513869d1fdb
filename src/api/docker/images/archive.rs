//! Images in archives: `get` writes them, `load` reads them.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State as With,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use hoist_image::{LoadedImage, SaveFormat};
use tokio_util::io::ReaderStream;

use super::{inspect::platforms, publish, publish_with, reader};
use crate::api::{
    State,
    dto::image::Progress,
    error::ApiError,
    params::Params,
    stream::progress::{self, Board},
};

/// Bytes between the one who writes an archive and the one who sends it.
const BUFFER: usize = 256 << 10;

/// `GET /images/get?names=…`.
pub async fn save_many(With(state): With<State>, params: Params) -> Result<Response, ApiError> {
    let names: Vec<String> = params
        .all("names")
        .flat_map(|names| names.split(','))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        return Err(ApiError::bad_request("names must be given"));
    }
    save(state, names, params).await
}

/// Sends an archive while it is written.
pub async fn save(state: State, names: Vec<String>, params: Params) -> Result<Response, ApiError> {
    let platforms = platforms(&params, "platform")?;
    // What does not exist is said before the first byte.
    state.engine.images().can_save(&names, &platforms).await?;
    for name in &names {
        let image = state.engine.images().get(name).await?;
        publish_with(&state, "save", (&image.id.to_string(), name), &image);
    }
    let (writer, ours) = tokio::io::duplex(BUFFER);
    let images = state.engine.images().clone();
    let work = async move {
        let saved = images.save(&names, &platforms, writer, SaveFormat::Docker).await;
        saved.map_err(|err| std::io::Error::other(ApiError::from(err)))
    };
    Ok(tar(while_sending(ours, work)))
}

/// A response that is a tar archive.
pub fn tar(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-tar")], body).into_response()
}

/// What a reader gives, and at its end how the writer fared: an error breaks the transfer off, so
/// that nobody takes half an archive for a whole one.
pub fn while_sending(
    reader: impl tokio::io::AsyncRead + Send + 'static,
    work: impl Future<Output = std::io::Result<()>> + Send + 'static,
) -> Body {
    Body::from_stream(async_stream::stream! {
        let mut work = Box::pin(work);
        let mut pieces = Box::pin(ReaderStream::with_capacity(reader, BUFFER / 4));
        let mut written = None;
        loop {
            tokio::select! {
                result = &mut work, if written.is_none() => written = Some(result),
                piece = pieces.next() => match piece {
                    Some(piece) => yield piece,
                    None => break,
                },
            }
        }
        let result = match written {
            Some(result) => result,
            None => work.await,
        };
        if let Err(err) = result {
            yield Err(err);
        }
    })
}

/// `POST /images/load`.
pub async fn load(With(state): With<State>, params: Params, body: Body) -> Result<Response, ApiError> {
    let platforms = platforms(&params, "platform")?;
    let quiet = params.flag("quiet");
    let board = Arc::new(Board::default());
    let progress = board.clone();
    let work = async move {
        let loaded = state.engine.images().load(reader(body), platforms, progress).await?;
        for image in &loaded {
            publish(&state, "load", &image.id.to_string(), &image.id.to_string());
        }
        Ok(loaded)
    };
    progress::respond(board, work, quiet, |loaded: Vec<LoadedImage>| {
        let line = |text: String| Progress { stream: Some(format!("{text}\n")), ..Progress::default() };
        loaded
            .into_iter()
            .flat_map(|image| match image.names.as_slice() {
                [] => vec![line(format!("Loaded image ID: {}", image.id))],
                names => names.iter().map(|name| line(format!("Loaded image: {name}"))).collect(),
            })
            .collect()
    })
    .await
}
