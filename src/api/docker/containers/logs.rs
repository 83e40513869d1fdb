//! `GET /containers/{id}/logs`.

use axum::{
    body::Body,
    extract::{Path, State as With},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::{BufMut, BytesMut};
use futures_util::{FutureExt, StreamExt};
use hoist_engine::{LogEntry, LogOptions, StreamKind};

use crate::api::{
    State,
    error::ApiError,
    params::Params,
    stream::{self, frames},
    translate::time,
    version::ApiVersion,
};

/// Lines are sent together up to here, and never held back longer than there are more.
const BATCH: usize = 32 << 10;

pub async fn logs(
    With(state): With<State>,
    Path(id): Path<String>,
    version: ApiVersion,
    params: Params,
) -> Result<Response, ApiError> {
    let now = state.now();
    let options = LogOptions {
        stdout: params.flag("stdout"),
        stderr: params.flag("stderr"),
        follow: params.flag("follow"),
        since: params.moment("since", now)?,
        until: params.moment("until", now)?,
        tail: tail(&params)?,
    };
    if !options.stdout && !options.stderr {
        return Err(ApiError::bad_request("Bad parameters: you must choose at least one stream"));
    }
    let container = state.engine.inspect(&id).await?;
    let tty = container.spec.tty;
    let details = match params.flag("details") {
        true => Some(details(&state.engine.log_details(&id)?)),
        false => None,
    };
    let form = Form { timestamps: params.flag("timestamps"), details };
    let mut lines = state.engine.logs(&id, options).await?;
    let body = async_stream::stream! {
        let mut failed = None;
        while let Some(entry) = StreamExt::next(&mut lines).await {
            let mut batch = BytesMut::new();
            let mut next = Some(entry);
            while let Some(entry) = next.take() {
                match entry {
                    Ok(entry) => form.put(&mut batch, &entry, tty),
                    Err(err) => failed = Some(err),
                }
                if batch.len() < BATCH && failed.is_none() {
                    // What is there already goes out in the same piece.
                    next = StreamExt::next(&mut lines).now_or_never().flatten();
                }
            }
            if !batch.is_empty() {
                yield Ok(batch.freeze());
            }
            if let Some(err) = failed.take() {
                yield Err(std::io::Error::other(err));
                return;
            }
        }
    };
    Ok(([(header::CONTENT_TYPE, stream::content_type(tty, version))], Body::from_stream(body)).into_response())
}

/// `all` or a number; what is neither is all, as in Docker.
pub fn tail(params: &Params) -> Result<Option<usize>, ApiError> {
    match params.text("tail") {
        None | Some("all") => Ok(None),
        Some(text) => Ok(text.parse::<i64>().ok().and_then(|lines| usize::try_from(lines).ok())),
    }
}

/// What the log options want beside each line, as `logs --details` shows it.
fn details(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    pairs.join(",")
}

/// Values may have anything in them; what sets them apart must not be among it.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    let one = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// How a line is written.
#[derive(Debug, Clone, Default)]
pub struct Form {
    pub timestamps: bool,
    /// Put before each line.
    pub details: Option<String>,
}

impl Form {
    /// Appends a line: bare for a terminal, framed else.
    pub fn put(&self, out: &mut BytesMut, entry: &LogEntry, tty: bool) {
        let mut head = String::new();
        if self.timestamps {
            head.push_str(&time::nanoseconds(entry.time));
            head.push(' ');
        }
        if let Some(details) = &self.details {
            head.push_str(details);
            head.push(' ');
        }
        if tty {
            out.put_slice(head.as_bytes());
            out.put_slice(&entry.line);
            return;
        }
        let kind = match entry.stream {
            StreamKind::Stdout => frames::STDOUT,
            StreamKind::Stderr => frames::STDERR,
        };
        out.put_slice(&frames::header(kind, head.len() + entry.line.len()));
        out.put_slice(head.as_bytes());
        out.put_slice(&entry.line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_its_time() {
        let entry =
            LogEntry { time: "2024-01-02T03:04:05Z".parse().unwrap(), stream: StreamKind::Stderr, line: "x\n".into() };
        let form = Form { timestamps: true, details: None };
        let mut out = BytesMut::new();
        form.put(&mut out, &entry, true);
        assert_eq!(out, "2024-01-02T03:04:05.000000000Z x\n");
        let mut out = BytesMut::new();
        form.put(&mut out, &entry, false);
        assert_eq!(out[..8], [2, 0, 0, 0, 0, 0, 0, 33]);
    }
}
