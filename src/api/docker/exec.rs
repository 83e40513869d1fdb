//! `/containers/{id}/exec` and `/exec/{id}`.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Request, State as With},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hoist_engine::{AttachOptions, ExecSpec, TerminalSize};

use super::containers::lifecycle::terminal_size;
use crate::api::{
    State,
    body::{self, JsonBody},
    dto::exec::{ExecBody, ExecCreated, ExecInspect, ExecStart, ProcessConfig},
    error::ApiError,
    params::Params,
    stream::{
        self,
        detach::DetachKeys,
        hijack::Hijack,
        pump::{self, Parting, Plan},
    },
    version::ApiVersion,
};

/// `POST /containers/{id}/exec`.
pub async fn create(
    With(state): With<State>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<ExecBody>,
) -> Result<(StatusCode, Json<ExecCreated>), ApiError> {
    let id = state.engine.exec_create(&id, spec(body)?).await?;
    Ok((StatusCode::CREATED, Json(ExecCreated { id: id.to_string() })))
}

/// A process as the API describes it.
///
/// # Errors
/// 400 for what cannot be run.
pub fn spec(body: ExecBody) -> Result<ExecSpec, ApiError> {
    let command = body.cmd.unwrap_or_default();
    if command.first().is_none_or(String::is_empty) {
        return Err(ApiError::bad_request("No exec command specified"));
    }
    DetachKeys::parse(&body.detach_keys)?;
    Ok(ExecSpec {
        command,
        env: body.env,
        user: Some(body.user).filter(|user| !user.is_empty()),
        working_dir: Some(body.working_dir).filter(|dir| !dir.is_empty()),
        tty: body.tty,
        privileged: body.privileged,
        attach: AttachOptions { stdin: body.attach_stdin, stdout: body.attach_stdout, stderr: body.attach_stderr },
        detach_keys: body.detach_keys,
    })
}

/// `[height, width]`; zeros are no size.
pub fn console_size(size: Option<(u16, u16)>) -> Option<TerminalSize> {
    size.filter(|size| *size != (0, 0)).map(|(rows, columns)| TerminalSize { rows, columns })
}

/// `POST /exec/{id}/start`.
pub async fn start(
    With(state): With<State>,
    Path(id): Path<String>,
    version: ApiVersion,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let bytes: Bytes = axum::body::to_bytes(body, 1 << 20)
        .await
        .map_err(|err| ApiError::bad_request(format!("the request's body could not be read: {err}")))?;
    let asked: ExecStart = if bytes.is_empty() { ExecStart::default() } else { body::parse(&bytes)? };
    let info = state.engine.exec_inspect(&id).await?;
    let size = console_size(asked.console_size);
    if asked.detach {
        state.engine.exec_start(&id, size).await?;
        return Ok(StatusCode::OK.into_response());
    }
    if info.running || info.exit_code.is_some() {
        return Err(ApiError::conflict(format!("Error: Exec command {id} has already run")));
    }
    let keys = DetachKeys::parse(&info.spec.detach_keys)?;
    let attach = info.spec.attach;
    // As Docker has it: who starts it says how its output is sent, whatever it was created with.
    let raw = asked.tty;
    let started = state.engine.exec_start(&id, size).await;
    let plan = Plan { stdin: attach.stdin, stdout: attach.stdout, stderr: attach.stderr, raw, keys };
    let hijack = Hijack::from_parts(parts.extensions.remove(), &parts.headers);
    let (stop, engine) = (state.stop.clone(), state.engine.clone());
    // As Docker does: what keeps the command from running is said in the stream, and inspect has the exit code.
    Ok(hijack.answer(stream::content_type(raw, version), &state.tasks, move |taken| async move {
        let talk = async {
            match started {
                // Clients ask for the exit code as soon as the stream ends.
                Ok(attached) => {
                    let parting = pump::run(taken, attached, None, plan, engine.exec_wait(&id)).await;
                    if parting == Parting::Detached {
                        engine.exec_detached(&id);
                    }
                }
                Err(err) => pump::complain(taken, &ApiError::from(err).message, raw).await,
            }
        };
        tokio::select! {
            () = talk => {}
            () = stop.cancelled() => {}
        }
    }))
}

/// `POST /exec/{id}/resize`.
pub async fn resize(With(state): With<State>, Path(id): Path<String>, params: Params) -> Result<StatusCode, ApiError> {
    state.engine.exec_resize(&id, terminal_size(&params)?).await?;
    Ok(StatusCode::OK)
}

/// `GET /exec/{id}/json`.
pub async fn inspect(With(state): With<State>, Path(id): Path<String>) -> Result<Json<ExecInspect>, ApiError> {
    let info = state.engine.exec_inspect(&id).await?;
    let mut argv = info.spec.command.into_iter();
    Ok(Json(ExecInspect {
        id: info.id.to_string(),
        running: info.running,
        exit_code: info.exit_code,
        process_config: ProcessConfig {
            tty: info.spec.tty,
            entrypoint: argv.next().unwrap_or_default(),
            arguments: argv.collect(),
            privileged: info.spec.privileged,
            user: info.spec.user.unwrap_or_default(),
        },
        open_stdin: info.spec.attach.stdin,
        open_stderr: info.spec.attach.stderr,
        open_stdout: info.spec.attach.stdout,
        can_remove: !info.running && info.exit_code.is_some(),
        container_id: info.container.to_string(),
        detach_keys: info.spec.detach_keys,
        pid: info.pid.unwrap_or(0),
    }))
}
