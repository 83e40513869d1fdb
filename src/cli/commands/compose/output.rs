//! What containers write, as streams of lines from the daemon.

use bytes::BytesMut;
use http_body_util::BodyExt;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    containers::Container,
    log_view::{Lines, LogView},
};
use crate::{
    api::stream::frames,
    cli::{
        client::{Client, path_segment},
        failure::Failure,
    },
};

/// Which part of a container's output.
#[derive(Debug, Clone, Default)]
pub struct Span {
    pub follow: bool,
    pub timestamps: bool,
    pub since: Option<String>,
    pub until: Option<String>,
    pub tail: Option<String>,
}

/// A line of a container, or the end of its output.
#[derive(Debug)]
pub enum Said {
    Line { name: String, line: Vec<u8> },
    End { failure: Option<Failure> },
}

/// Reads a container's output in the background and sends its lines. The channel's bound holds the daemon back when
/// nobody reads; the container itself is never slowed.
pub fn read(
    client: &Client,
    container: &Container,
    project: &str,
    span: Span,
    to: mpsc::Sender<Said>,
) -> JoinHandle<()> {
    let (client, id, name) = (client.clone(), container.id.clone(), container.log_name(project));
    tokio::spawn(async move {
        let failure = pump(&client, &id, &name, span, &to).await.err();
        // A receiver that is gone has nothing to be told.
        let _ = to.send(Said::End { failure }).await;
    })
}

async fn pump(client: &Client, id: &str, name: &str, span: Span, to: &mpsc::Sender<Said>) -> Result<(), Failure> {
    let response = client
        .get(format!("/containers/{}/logs", path_segment(id)))
        .query("stdout", "1")
        .query("stderr", "1")
        .flag("follow", span.follow)
        .flag("timestamps", span.timestamps)
        .query_opt("since", span.since)
        .query_opt("until", span.until)
        .query_opt("tail", span.tail)
        .send()
        .await?;
    let raw = response
        .headers()
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes() == b"application/vnd.docker.raw-stream");
    let mut body = response.into_body();
    let mut buffer = BytesMut::new();
    // Both streams of a container keep their own unfinished lines.
    let mut lines = [Lines::default(), Lines::default()];
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::from_error(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        let mut parts = Vec::new();
        if raw {
            parts.push((frames::STDOUT, data));
        } else {
            buffer.extend_from_slice(&data);
            while let Some(part) = frames::take(&mut buffer).map_err(|error| Failure::from_error(&error))? {
                parts.push(part);
            }
        }
        for (kind, bytes) in parts {
            for line in lines[usize::from(kind == frames::STDERR)].push(&bytes) {
                if to.send(Said::Line { name: name.to_owned(), line }).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    for line in lines.iter_mut().filter_map(Lines::finish) {
        if to.send(Said::Line { name: name.to_owned(), line }).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// The last lines that a container wrote, fit to be shown among other words: nothing when it is gone.
pub async fn last_words(client: &Client, id: &str, count: usize) -> Vec<String> {
    let (to, mut from) = mpsc::channel(64);
    let span = Span { tail: Some(count.to_string()), ..Span::default() };
    let collect = async {
        let mut words = Vec::new();
        while let Some(said) = from.recv().await {
            if let Said::Line { line, .. } = said {
                let text = String::from_utf8_lossy(&line);
                words.push(text.chars().filter(|c| *c == '\t' || !c.is_control()).collect());
            }
        }
        words
    };
    let read = async move { pump(client, id, "", span, &to).await };
    tokio::join!(collect, read).0
}

/// Shows one thing that was said.
///
/// # Errors
/// When standard output is gone.
pub fn show(view: &mut LogView, said: &Said) -> Result<(), Failure> {
    if let Said::Line { name, line } = said {
        let source = view.source(name);
        view.line(source, line)?;
    }
    Ok(())
}
