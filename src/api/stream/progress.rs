//! Progress of pulls, pushes and loads as JSON lines.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hoist_image::{Phase, PullEvent};
use tokio::sync::Notify;

use crate::api::{
    dto::image::{ErrorDetail, Progress, ProgressDetail},
    error::ApiError,
};

/// No faster than this: people read it.
const PACE: Duration = Duration::from_millis(60);

/// Events that wait to be told. A layer's newer count replaces the older one that nobody has seen,
/// so that a slow reader costs no memory.
#[derive(Debug, Default)]
pub struct Board {
    waiting: Mutex<VecDeque<PullEvent>>,
    news: Notify,
}

impl hoist_image::Progress for Board {
    fn report(&self, event: PullEvent) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |old: &PullEvent| match (old, &event) {
            (PullEvent::Layer { id: a, phase: p, .. }, PullEvent::Layer { id: b, phase: q, .. }) => a == b && p == q,
            _ => false,
        };
        match waiting.iter_mut().rev().find(|old| same(old)) {
            Some(old) => *old = event,
            None => waiting.push_back(event),
        }
        drop(waiting);
        self.news.notify_one();
    }
}

impl Board {
    fn take(&self) -> VecDeque<PullEvent> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there is something to tell.
    pub async fn news(&self) -> VecDeque<PullEvent> {
        loop {
            let events = self.take();
            if !events.is_empty() {
                return events;
            }
            self.news.notified().await;
        }
    }
}

/// One event as Docker's clients read it.
pub fn line(event: PullEvent) -> Progress {
    match event {
        PullEvent::Status { id, message } => Progress { id, status: Some(message), ..Progress::default() },
        PullEvent::Layer { id, phase, current, total } => {
            let counts = matches!(phase, Phase::Downloading | Phase::Extracting | Phase::Pushing | Phase::LoadingLayer);
            let number = |number: u64| Some(number).filter(|number| counts && *number > 0);
            Progress {
                id: Some(id),
                status: Some(phase.to_string()),
                detail: Some(ProgressDetail { current: number(current), total: number(total) }),
                ..Progress::default()
            }
        }
    }
}

/// The line that ends a stream that failed.
pub fn failure(error: &ApiError) -> Progress {
    Progress {
        error_detail: Some(ErrorDetail { message: error.message.clone() }),
        error: Some(error.message.clone()),
        ..Progress::default()
    }
}

fn encode(lines: impl IntoIterator<Item = Progress>) -> Bytes {
    let mut out = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut out, &line).expect("writing to memory does not fail, and all keys are texts");
        out.extend_from_slice(b"\r\n");
    }
    out.into()
}

/// Does the work while its progress goes to the client; a client that goes away ends the work.
/// What fails before the first layer moves is a plain answer with a status.
///
/// # Errors
/// Those of `work`.
pub async fn respond<T: Send + 'static>(
    board: Arc<Board>,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    quiet: bool,
    last: impl FnOnce(T) -> Vec<Progress> + Send + 'static,
) -> Result<Response, ApiError> {
    let mut work = Box::pin(work);
    let mut early = Vec::new();
    let mut ended = None;
    while ended.is_none() {
        tokio::select! {
            biased;
            result = &mut work => ended = Some(result?),
            events = board.news() => {
                let moves = events.iter().any(|event| matches!(event, PullEvent::Layer { .. }));
                early.extend(events);
                if moves {
                    break;
                }
            }
        }
    }
    early.extend(board.take().into_iter().filter(|_| ended.is_some()));
    let shown = move |events: Vec<PullEvent>| {
        let keep = |event: &PullEvent| !quiet || matches!(event, PullEvent::Status { .. });
        events.into_iter().filter(keep).map(line).collect::<Vec<_>>()
    };
    let lines = async_stream::stream! {
        yield Ok::<_, Infallible>(encode(shown(early)));
        let result = match ended {
            Some(value) => Ok(value),
            None => loop {
                tokio::select! {
                    biased;
                    result = &mut work => break result,
                    events = board.news() => {
                        yield Ok(encode(shown(events.into())));
                        tokio::select! {
                            result = &mut work => break result,
                            () = tokio::time::sleep(PACE) => {}
                        }
                    }
                }
            },
        };
        let rest = shown(board.take().into());
        match result {
            Ok(value) => yield Ok(encode(rest.into_iter().chain(last(value)))),
            Err(err) => yield Ok(encode(rest.into_iter().chain([failure(&err)]))),
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response())
}

#[cfg(test)]
mod tests {
    use hoist_image::Progress as _;

    use super::*;

    fn layer(current: u64) -> PullEvent {
        PullEvent::Layer { id: "a".into(), phase: Phase::Downloading, current, total: 9 }
    }

    #[tokio::test]
    async fn counts_are_replaced_and_errors_end_the_stream() {
        let board = Arc::new(Board::default());
        let teller = board.clone();
        let work = async move {
            teller.report(PullEvent::Status { id: Some("1".into()), message: "Pulling from x".into() });
            for current in 1..5 {
                teller.report(layer(current));
            }
            tokio::task::yield_now().await;
            Err::<(), _>(ApiError::internal("broken"))
        };
        let response = respond(board, work, false, |()| Vec::new()).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(
            text,
            "{\"status\":\"Pulling from x\",\"id\":\"1\"}\r\n\
             {\"status\":\"Downloading\",\"progressDetail\":{\"current\":4,\"total\":9},\"id\":\"a\"}\r\n\
             {\"errorDetail\":{\"message\":\"broken\"},\"error\":\"broken\"}\r\n"
        );
    }

    #[tokio::test]
    async fn an_early_failure_has_a_status() {
        let work = async { Err::<(), _>(ApiError::not_found("no such image")) };
        let err = respond(Arc::default(), work, false, |()| Vec::new()).await.unwrap_err();
        assert_eq!(err.status, 404);
    }
}
