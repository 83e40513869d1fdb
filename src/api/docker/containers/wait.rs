//! `POST /containers/{id}/wait`.

use axum::{
    Json,
    body::Body,
    extract::{Path, State as With},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hoist_engine::WaitCondition;

use crate::api::{
    State,
    dto::container::{WaitError, Waited},
    error::ApiError,
    params::Params,
    version::ApiVersion,
};

pub async fn wait(
    With(state): With<State>,
    Path(id): Path<String>,
    version: ApiVersion,
    params: Params,
) -> Result<Response, ApiError> {
    let condition = match params.text("condition") {
        None | Some("not-running") => WaitCondition::NotRunning,
        Some("next-exit") => WaitCondition::NextExit,
        Some("removed") => WaitCondition::Removed,
        Some(other) => {
            return Err(ApiError::bad_request(format!("invalid condition: \"{other}\"")));
        }
    };
    let id = state.engine.resolve(&id)?;
    let mut waiting = Box::pin(async move { state.engine.wait(id.as_str(), condition).await });
    let answer = |result: hoist_engine::Result<hoist_engine::WaitResult>| match result {
        Ok(result) => Waited {
            status_code: result.exit_code.into(),
            error: Some(WaitError { message: result.error }).filter(|error| !error.message.is_empty()),
        },
        Err(err) => Waited { status_code: 125, error: Some(WaitError { message: err.message() }) },
    };
    if version < ApiVersion(1, 30) {
        return Ok(Json(answer(waiting.await)).into_response());
    }
    // The head goes out once the wait is under way, so that a client can start the container then.
    let first = futures_util::poll!(&mut waiting);
    let body = async_stream::stream! {
        let result = match first {
            std::task::Poll::Ready(result) => result,
            std::task::Poll::Pending => {
                yield Ok::<_, std::convert::Infallible>(Bytes::new());
                waiting.await
            }
        };
        let mut line = serde_json::to_vec(&answer(result)).expect("numbers and texts can be written");
        line.push(b'\n');
        yield Ok(line.into());
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response())
}
