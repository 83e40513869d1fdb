//! `POST /hoist/v1/containers/{id}/connect?port=N`: the connection becomes one to a port in the container.

use axum::{
    extract::{Path, Request, State as With},
    response::Response,
};

use crate::api::{State, error::ApiError, params::Params, stream::hijack::Hijack};

pub async fn connect(
    With(state): With<State>,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    let port = params.text("port").and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
    let port = port.ok_or_else(|| ApiError::bad_request("port must be a number from 1 to 65535"))?;
    let hijack = Hijack::new(request);
    if !hijack.is_upgrade() {
        return Err(ApiError::bad_request("this needs an upgrade of the connection"));
    }
    let stream = state.engine.connect(&id, port).await?;
    stream.set_nonblocking(true).map_err(|error| ApiError::internal(error.to_string()))?;
    let stream = tokio::net::TcpStream::from_std(stream).map_err(|error| ApiError::internal(error.to_string()))?;
    let stop = state.stop.clone();
    Ok(hijack.answer("application/octet-stream", &state.tasks, move |mut taken| async move {
        let (mut reader, mut writer) = stream.into_split();
        let there = async {
            let _ = tokio::io::copy(&mut taken.reader, &mut writer).await;
            // One side may end while the other goes on: the end is passed on.
            drop(writer);
        };
        let back = async {
            let _ = tokio::io::copy(&mut reader, &mut taken.writer).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut taken.writer).await;
        };
        tokio::select! {
            _ = async { tokio::join!(there, back) } => {}
            () = stop.cancelled() => {}
        }
    }))
}
