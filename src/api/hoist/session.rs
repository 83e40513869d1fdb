//! One connection on which a process is made, fed, listened to and waited for.
//!
//! Frames go both ways (see [`frames`]): towards the client output and events, towards the daemon
//! input and orders.

use bytes::{Bytes, BytesMut};
use hoist_engine::{Attached, EngineError, TerminalSize};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use crate::api::{
    dto::image::Progress,
    error::ApiError,
    stream::{frames, hijack::Taken, pump},
};

/// What a connection of this kind is upgraded to.
pub const CONTENT_TYPE: &str = "application/vnd.hoist.frames";
/// Pieces of input that wait for the process to read.
const WAITING: usize = 32;

/// What the daemon tells.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    Pull(Progress),
    Created { id: String, warnings: Vec<String> },
    Started,
    Exit { code: i32 },
    Error { message: String, status: u16, exit_code: i32 },
}

impl Event {
    /// A failure with the exit code that a command line returns for it.
    pub fn failed(error: EngineError) -> Self {
        // The code stands beside the words, so nothing is added to them as for Docker's clients.
        let (exit_code, message) = (error.exit_code(), error.message());
        Self::Error { message, status: ApiError::from(error).status.as_u16(), exit_code }
    }

    /// A failure before there was anything to run.
    pub fn refused(error: &ApiError) -> Self {
        Self::Error { message: error.message.clone(), status: error.status.as_u16(), exit_code: 125 }
    }
}

/// What the client orders.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Rows and columns.
    Resize(u16, u16),
    Signal(String),
}

impl Order {
    /// As the engine takes a size.
    pub fn size(rows: u16, columns: u16) -> TerminalSize {
        TerminalSize { rows, columns }
    }
}

/// The connection went away, which is how a client detaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// A taken connection that speaks in frames.
pub struct Session {
    taken: Taken,
    unread: BytesMut,
    frame: BytesMut,
}

impl Session {
    pub fn new(taken: Taken) -> Self {
        Self { taken, unread: BytesMut::with_capacity(4 << 10), frame: BytesMut::new() }
    }

    /// Tells the client something.
    pub async fn tell(&mut self, event: &Event) -> Result<(), Gone> {
        let json = serde_json::to_vec(event).map_err(|_| Gone)?;
        send(&mut self.taken, &mut self.frame, frames::EVENT, &json).await
    }

    /// Tells the last thing there is to tell.
    pub async fn end(mut self, event: &Event) {
        let _ = self.tell(event).await;
        let _ = self.taken.writer.shutdown().await;
    }

    /// Carries input, output and orders until the process has ended, and answers what `exit` does.
    ///
    /// # Errors
    /// [`Gone`] when the client went away.
    pub async fn carry<T, F: Future<Output = ()>>(
        &mut self,
        attached: Attached,
        exit: impl Future<Output = T>,
        obey: impl Fn(Order) -> F,
    ) -> Result<T, Gone> {
        let Attached { mut output, mut input, .. } = attached;
        let Self { taken: Taken { reader, writer }, unread, frame } = self;
        let (queue, mut waiting) = mpsc::channel::<Bytes>(WAITING);
        let outward = async {
            while let Ok(Some(chunk)) = output.next().await {
                frame.clear();
                frames::put(frame, pump::kind(chunk.stream), &chunk.data);
                if writer.write_all(frame).await.is_err() || writer.flush().await.is_err() {
                    return Err(Gone);
                }
            }
            Ok(exit.await)
        };
        let feed = async {
            while let Some(data) = waiting.recv().await {
                let fed = if data.is_empty() { input.close().await } else { input.write(&data).await };
                if fed.is_err() {
                    // The process reads no more: what still comes is dropped.
                    while waiting.recv().await.is_some() {}
                }
            }
            std::future::pending::<()>().await;
        };
        let inward = async {
            loop {
                match frames::take(unread) {
                    Ok(Some((frames::STDIN, data))) => {
                        let _ = queue.send(data).await;
                    }
                    Ok(Some((frames::EVENT, json))) => match serde_json::from_slice(&json) {
                        Ok(order) => obey(order).await,
                        Err(err) => tracing::debug!("an order that is none: {err}"),
                    },
                    Ok(Some(_)) => {}
                    Ok(None) => match reader.read_buf(unread).await {
                        Ok(1..) => {}
                        _ => return,
                    },
                    Err(err) => {
                        tracing::debug!("a client's frames: {err}");
                        return;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            ended = outward => ended,
            () = inward => Err(Gone),
            () = feed => Err(Gone),
        }
    }
}

async fn send(taken: &mut Taken, frame: &mut BytesMut, kind: u8, payload: &[u8]) -> Result<(), Gone> {
    frame.clear();
    frames::put(frame, kind, payload);
    taken.writer.write_all(frame).await.map_err(|_| Gone)?;
    taken.writer.flush().await.map_err(|_| Gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_orders_as_json() {
        let json = serde_json::to_string(&Event::Exit { code: 3 }).unwrap();
        assert_eq!(json, r#"{"event":"exit","code":3}"#);
        assert_eq!(serde_json::to_string(&Event::Started).unwrap(), r#"{"event":"started"}"#);
        assert_eq!(serde_json::from_str::<Order>(r#"{"resize":[24,80]}"#).unwrap(), Order::Resize(24, 80));
        assert_eq!(serde_json::from_str::<Order>(r#"{"signal":"TERM"}"#).unwrap(), Order::Signal("TERM".into()));
    }
}
