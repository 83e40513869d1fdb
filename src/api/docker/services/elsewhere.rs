//! The log of a container on another node.

use std::io;

use axum::{
    body::Body,
    extract::Request,
    http::{StatusCode, Uri},
};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{StreamExt, stream::BoxStream};
use hoist_engine::{LogEntry, LogOptions, StreamKind};
use hoist_proto::{clock::Timestamp, id::NodeId};

use crate::api::{State, error::ApiError, forward, stream::frames};

/// Lines as a container's own node tells them, oldest first.
///
/// # Errors
/// When the node cannot be reached, or knows no such container.
pub async fn lines(
    state: &State,
    node: &NodeId,
    container: &str,
    options: &LogOptions,
    tty: bool,
) -> Result<BoxStream<'static, io::Result<LogEntry>>, ApiError> {
    let uri = path(container, options).parse::<Uri>().map_err(|error| ApiError::bad_request(error.to_string()))?;
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri;
    let response = forward::to_node(state, node, request).await?;
    if response.status() != StatusCode::OK {
        return Err(ApiError::unavailable(format!("node {node} answered {}", response.status())));
    }
    let mut body = response.into_body().into_data_stream();
    Ok(async_stream::try_stream! {
        let mut buffer = BytesMut::new();
        while let Some(chunk) = body.next().await {
            buffer.extend_from_slice(&chunk.map_err(io::Error::other)?);
            while let Some((stream, line)) = take(&mut buffer, tty)? {
                yield entry(stream, line);
            }
        }
        // What a terminal shows need not end its last line.
        if tty && !buffer.is_empty() {
            yield entry(StreamKind::Stdout, buffer.freeze());
        }
    }
    .boxed())
}

fn path(container: &str, options: &LogOptions) -> String {
    let flag = |set: bool| u8::from(set);
    let (out, err, follow) = (flag(options.stdout), flag(options.stderr), flag(options.follow));
    let since = options.since.map(|at| format!("&since={}.{:09}", at.as_second(), at.subsec_nanosecond()));
    let tail = options.tail.map(|lines| format!("&tail={lines}"));
    format!(
        "/containers/{container}/logs?timestamps=1&stdout={out}&stderr={err}&follow={follow}{}{}",
        since.unwrap_or_default(),
        tail.unwrap_or_default()
    )
}

/// The next whole line, if it is there.
fn take(buffer: &mut BytesMut, tty: bool) -> io::Result<Option<(StreamKind, Bytes)>> {
    if tty {
        let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        return Ok(Some((StreamKind::Stdout, buffer.split_to(end + 1).freeze())));
    }
    let frame = frames::take(buffer).map_err(io::Error::other)?;
    Ok(frame.map(|(kind, line)| (if kind == frames::STDERR { StreamKind::Stderr } else { StreamKind::Stdout }, line)))
}

/// A line with its moment before it.
fn entry(stream: StreamKind, mut line: Bytes) -> LogEntry {
    let space = line.iter().position(|byte| *byte == b' ');
    let time = space.and_then(|end| std::str::from_utf8(&line[..end]).ok()?.parse::<Timestamp>().ok());
    match (time, space) {
        (Some(time), Some(end)) => {
            line.advance(end + 1);
            LogEntry { time, stream, line }
        }
        // The rest of a line that was too long for one frame has no moment of its own.
        _ => LogEntry { time: Timestamp::UNIX_EPOCH, stream, line },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_lines_are_read_as_they_come() {
        let text = b"2026-11-28T10:00:00.000000001Z hello world\n";
        let mut buffer = BytesMut::new();
        frames::put(&mut buffer, frames::STDERR, text);
        let rest = buffer.split_off(20);
        assert!(take(&mut buffer, false).unwrap().is_none(), "half a frame");
        buffer.unsplit(rest);
        let (stream, line) = take(&mut buffer, false).unwrap().unwrap();
        let read = entry(stream, line);
        assert_eq!(
            (read.stream, &read.line[..], read.time.subsec_nanosecond()),
            (StreamKind::Stderr, &b"hello world\n"[..], 1)
        );
        let mut buffer = BytesMut::from(&text[..]);
        buffer.extend_from_slice(b"2026");
        assert_eq!(take(&mut buffer, true).unwrap().unwrap().1.len(), text.len());
        assert!(take(&mut buffer, true).unwrap().is_none(), "half a line");
    }

    #[test]
    fn what_was_asked_for_is_asked_for_there() {
        let options = LogOptions {
            stderr: true,
            tail: Some(5),
            since: Some(Timestamp::from_second(7).unwrap()),
            ..LogOptions::default()
        };
        assert_eq!(
            path("c0ffee", &options),
            "/containers/c0ffee/logs?timestamps=1&stdout=0&stderr=1&follow=0&since=7.000000000&tail=5"
        );
    }
}
