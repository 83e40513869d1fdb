//! `POST /hoist/v1/exec`: a further process in a container, on one connection.

use axum::{
    extract::{Request, State as With},
    response::Response,
};
use hyper::upgrade::OnUpgrade;
use serde::Deserialize;

use super::session::{self, Event, Gone, Order, Session};
use crate::api::{
    State, body,
    docker::exec::{console_size, spec},
    dto::exec::ExecBody,
    error::ApiError,
    stream::hijack::Hijack,
};

/// The body of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Exec {
    container: String,
    exec: ExecBody,
    detach: bool,
    console_size: Option<(u16, u16)>,
}

pub async fn exec(With(state): With<State>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let hijack = Hijack::from_parts(parts.extensions.remove::<OnUpgrade>(), &parts.headers);
    if !hijack.is_upgrade() {
        return Err(ApiError::bad_request("this request must ask for an upgrade to hoist-frames"));
    }
    let bytes = axum::body::to_bytes(body, 1 << 20)
        .await
        .map_err(|err| ApiError::bad_request(format!("the request's body could not be read: {err}")))?;
    let asked: Exec = body::parse(&bytes)?;
    let id = state.engine.exec_create(&asked.container, spec(asked.exec)?).await?.to_string();
    let size = console_size(asked.console_size);
    let stop = state.stop.clone();
    let detach = asked.detach;
    let inner = state.clone();
    Ok(hijack.answer(session::CONTENT_TYPE, &state.tasks, move |taken| async move {
        tokio::select! {
            () = talk(inner, Session::new(taken), &id, size, detach) => {}
            () = stop.cancelled() => {}
        }
    }))
}

async fn talk(state: State, mut session: Session, id: &str, size: Option<hoist_engine::TerminalSize>, detach: bool) {
    let engine = &state.engine;
    let started = engine.exec_start(id, size).await;
    let attached = match started {
        Ok(attached) => attached,
        Err(err) => return session.end(&Event::failed(err)).await,
    };
    let told = async {
        session.tell(&Event::Created { id: id.to_owned(), warnings: Vec::new() }).await?;
        session.tell(&Event::Started).await
    };
    if told.await == Err(Gone) || detach {
        return;
    }
    let obey = |order: Order| async move {
        let done = match &order {
            Order::Resize(rows, columns) => engine.exec_resize(id, Order::size(*rows, *columns)).await,
            Order::Signal(signal) => engine.exec_kill(id, signal).await,
        };
        if let Err(err) = done {
            tracing::debug!(exec = id, ?order, "{}", err.message());
        }
    };
    let last = match session.carry(attached, engine.exec_wait(id), obey).await {
        Ok(Ok(code)) => Event::Exit { code },
        Ok(Err(err)) => Event::failed(err),
        Err(Gone) => return engine.exec_detached(id),
    };
    session.end(&last).await;
}
