//! `GET /containers/{id}/attach/ws`: attach for browsers. Output is sent as binary messages, bare.

use axum::{
    extract::{
        Path, State as With, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
};
use futures_util::{SinkExt, StreamExt};
use hoist_engine::{Attached, LogStream, StreamKind};

use super::attach::{Wish, detach_keys};
use crate::api::{
    State,
    error::ApiError,
    params::Params,
    stream::{detach::DetachKeys, pump::Parting},
    version::ApiVersion,
};

pub async fn attach(
    With(state): With<State>,
    Path(id): Path<String>,
    version: ApiVersion,
    params: Params,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let keys = detach_keys(&params)?;
    // Before version 1.42 all streams were attached, whatever was asked.
    let flag = |name: &str| version < ApiVersion(1, 42) || params.flag(name);
    let wish = Wish {
        running: false,
        logs: params.flag("logs"),
        stream: params.flag("stream"),
        stdin: flag("stdin"),
        stdout: flag("stdout"),
        stderr: flag("stderr"),
    };
    let (attached, earlier) = wish.connect(&state, &id).await?;
    let (stop, engine) = (state.stop.clone(), state.engine.clone());
    Ok(upgrade.on_upgrade(move |socket| async move {
        tokio::select! {
            parting = talk(socket, attached, earlier, wish, keys) => if parting == Parting::Detached {
                engine.detached(&id);
            },
            () = stop.cancelled() => {}
        }
    }))
}

async fn talk(
    socket: WebSocket,
    attached: Attached,
    earlier: Option<LogStream>,
    wish: Wish,
    mut keys: DetachKeys,
) -> Parting {
    let (mut sink, mut source) = socket.split();
    let Attached { mut output, mut input, tty } = attached;
    let outward = async {
        if let Some(mut lines) = earlier {
            while let Ok(Some(entry)) = lines.next().await {
                if sink.send(Message::Binary(entry.line)).await.is_err() {
                    return Parting::Detached;
                }
            }
        }
        while let Ok(Some(chunk)) = output.next().await {
            let wanted = match chunk.stream {
                StreamKind::Stdout => wish.stdout,
                StreamKind::Stderr => wish.stderr,
            };
            if wanted && wish.stream && sink.send(Message::Binary(chunk.data)).await.is_err() {
                return Parting::Detached;
            }
        }
        let _ = sink.send(Message::Close(None)).await;
        Parting::Over
    };
    let inward = async {
        let mut passed = Vec::new();
        while let Some(Ok(message)) = source.next().await {
            let data = match message {
                Message::Binary(data) => data,
                Message::Text(text) => text.into(),
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) => continue,
            };
            if !wish.stdin || !wish.stream {
                continue;
            }
            passed.clear();
            if tty && keys.watch(&data, &mut passed) {
                return Parting::Detached;
            }
            let data = if tty { &passed[..] } else { &data[..] };
            if input.write(data).await.is_err() {
                break;
            }
        }
        // A WebSocket has no half: a client that closes it is gone.
        let _ = input.close().await;
        Parting::Detached
    };
    tokio::select! {
        parting = outward => parting,
        parting = inward => parting,
    }
}
