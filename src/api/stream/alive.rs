//! Answers of lines that may be silent for long: a client that goes away meanwhile is noticed.
//!
//! A connection whose client has gone cannot be told from one whose client has only finished its request, until something
//! is written.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

/// After so long without a word an empty one is sent.
const SILENCE: Duration = Duration::from_secs(1);

/// The same lines, with empty ones where nothing else comes. They mean nothing in JSON. Where they cannot be sent any
/// more, the lines are dropped.
pub fn kept_alive(
    lines: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    broken_every(SILENCE, lines)
}

fn broken_every(
    silence: Duration,
    lines: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    async_stream::stream! {
        let mut lines = std::pin::pin!(lines);
        loop {
            match tokio::time::timeout(silence, lines.next()).await {
                Ok(Some(line)) => yield line,
                Ok(None) => break,
                Err(_) => yield Ok(Bytes::from_static(b"\n")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_is_broken() {
        let (heard, hears) = tokio::sync::oneshot::channel();
        let slow = async_stream::stream! {
            yield Ok::<_, io::Error>(Bytes::from_static(b"1"));
            let _ = hears.await;
            yield Ok(Bytes::from_static(b"2"));
        };
        let mut lines = std::pin::pin!(broken_every(Duration::from_millis(1), slow));
        let mut next = async || lines.next().await.map(|line| line.expect("a line"));
        assert_eq!(next().await.as_deref(), Some(b"1".as_slice()));
        assert_eq!(next().await.as_deref(), Some(b"\n".as_slice()));
        heard.send(()).expect("it listens");
        let rest = loop {
            match next().await {
                Some(line) if line == "\n" => {}
                line => break line,
            }
        };
        assert_eq!(rest.as_deref(), Some(b"2".as_slice()));
        assert_eq!(next().await, None);
    }
}
