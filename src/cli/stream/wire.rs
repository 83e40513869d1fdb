//! How bytes, signals and sizes travel.

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use crate::{
    api::stream::frames,
    cli::{client::Client, failure::Failure, printer::Printer},
};

/// How bytes, signals and sizes travel.
#[derive(Debug, Clone)]
pub enum Wire {
    /// Hoist's own: all of it in frames on one connection.
    Frames,
    /// Docker's attach to a container: output in frames or, from a terminal, plain; input plain;
    /// signals and sizes as requests of their own.
    Container { id: String, multiplexed: bool },
}

/// One thing that arrived.
#[derive(Debug)]
pub enum Arrival {
    Stdout(Bytes),
    Stderr(Bytes),
    Event(Value),
}

/// What arrived is not in the form agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbled;

impl Wire {
    /// Takes the next whole thing off what has been read.
    pub fn take(&self, buffer: &mut BytesMut) -> Result<Option<Arrival>, Garbled> {
        if matches!(self, Self::Container { multiplexed: false, .. }) {
            return Ok((!buffer.is_empty()).then(|| Arrival::Stdout(buffer.split().freeze())));
        }
        let Some((kind, payload)) = frames::take(buffer).map_err(|_| Garbled)? else { return Ok(None) };
        Ok(Some(match kind {
            frames::STDOUT | frames::STDIN => Arrival::Stdout(payload),
            frames::STDERR => Arrival::Stderr(payload),
            frames::EVENT => Arrival::Event(serde_json::from_slice(&payload).map_err(|_| Garbled)?),
            _ => return Err(Garbled),
        }))
    }

    /// Passes on all output that is whole: to standard output and standard error.
    pub fn pass_on(&self, buffer: &mut BytesMut, printer: Printer) -> Result<(), Failure> {
        while let Some(arrival) = self.take(buffer).map_err(|_| Failure::new("what the daemon sends is garbled"))? {
            match arrival {
                Arrival::Stdout(bytes) => printer.raw(&bytes)?,
                Arrival::Stderr(bytes) => printer.raw_err(&bytes)?,
                Arrival::Event(_) => {}
            }
        }
        Ok(())
    }

    /// Bytes of standard input; an empty slice is its end.
    pub fn input(&self, bytes: Bytes) -> Bytes {
        match self {
            Self::Frames => {
                let mut out = BytesMut::with_capacity(bytes.len() + 8);
                frames::put(&mut out, frames::STDIN, &bytes);
                out.freeze()
            }
            Self::Container { .. } => bytes,
        }
    }

    /// Whether the end of input is said by closing this side of the connection.
    pub fn ends_input_by_closing(&self) -> bool {
        matches!(self, Self::Container { .. })
    }

    /// A signal or a size: bytes to send, or nothing when it went as a request of its own.
    pub fn control(&self, client: &Client, control: Control) -> Option<Bytes> {
        match self {
            Self::Frames => {
                let json = match control {
                    Control::Signal(name) => serde_json::json!({ "signal": name }),
                    Control::Resize(rows, columns) => serde_json::json!({ "resize": [rows, columns] }),
                };
                let mut out = BytesMut::new();
                frames::put(&mut out, frames::EVENT, json.to_string().as_bytes());
                Some(out.freeze())
            }
            Self::Container { id, .. } => {
                let (client, id) = (client.clone(), id.clone());
                tokio::spawn(async move {
                    // A container that has ended meanwhile takes neither.
                    let _ = match control {
                        Control::Signal(name) => {
                            client.post(format!("/containers/{id}/kill")).query("signal", name).done().await
                        }
                        Control::Resize(rows, columns) => {
                            client
                                .post(format!("/containers/{id}/resize"))
                                .query("h", rows.to_string())
                                .query("w", columns.to_string())
                                .done()
                                .await
                        }
                    };
                });
                None
            }
        }
    }
}

/// What goes to the process beside its input.
#[derive(Debug, Clone, Copy)]
pub enum Control {
    Signal(&'static str),
    /// Rows and columns.
    Resize(u16, u16),
}
