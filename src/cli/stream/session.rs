//! Moving bytes, signals and sizes until one side ends.

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, WriteHalf},
    sync::mpsc,
};

use super::{
    DetachKeys, Wire,
    input::{self, Input},
    signals, terminal,
    wire::{Arrival, Control},
};
use crate::cli::{
    Context,
    client::{ClientError, Upgraded},
    failure::Failure,
};

/// How a session ended.
#[derive(Debug)]
pub enum End {
    /// The stream is at its end.
    Closed,
    /// The keys that detach were typed.
    Detached,
    /// An event said that this is all.
    Event(Value),
}

/// What to do about an event that arrives between the bytes.
pub trait Events {
    /// Returns the event when it is the last.
    fn event(&mut self, event: Value) -> Result<Option<Value>, Failure>;
}

/// For streams without events.
impl Events for () {
    fn event(&mut self, _: Value) -> Result<Option<Value>, Failure> {
        Ok(None)
    }
}

/// What is connected to what.
#[derive(Debug)]
pub struct Session {
    pub wire: Wire,
    /// The process has a terminal.
    pub tty: bool,
    /// Standard input is passed on.
    pub stdin: bool,
    /// Signals are passed on.
    pub signals: bool,
    pub detach_keys: DetachKeys,
}

impl Session {
    /// Runs until the stream ends, an event ends it, or a person detaches. The terminal is as before then.
    pub async fn run(self, cx: &Context, stream: Upgraded, events: &mut impl Events) -> Result<End, Failure> {
        let is_terminal = self.tty && self.stdin && std::io::IsTerminal::is_terminal(&std::io::stdin());
        // Hoist's streams say when the process runs; until then the terminal and its keys are as ever.
        let mut live = !matches!(self.wire, Wire::Frames);
        let mut raw = if is_terminal && live { Some(terminal::RawMode::enter()?) } else { None };
        let mut typed = self.stdin.then(|| input::read(self.tty.then(|| self.detach_keys.clone())));
        let proxied = self.signals && !self.tty;
        let mut caught = match (proxied, is_terminal) {
            (true, _) => Some(signals::catch(&signals::PROXIED)?),
            (false, true) => Some(signals::catch(&signals::ENDING)?),
            (false, false) => None,
        };
        let mut window = if self.tty { Some(signals::window()?) } else { None };
        let (mut reader, writer) = tokio::io::split(stream);
        let (send, receive) = mpsc::channel(2);
        let (urgent, controls) = mpsc::unbounded_channel();
        let (done, mut written) = mpsc::channel::<()>(1);
        // Written by a task of its own: while the other side is slow to read, it must still be read from.
        tokio::spawn(write(writer, receive, controls, done));
        let mut buffer = BytesMut::with_capacity(16 << 10);
        loop {
            tokio::select! {
                biased;
                read = reader.read_buf(&mut buffer) => {
                    let ended = match read {
                        Ok(0) => true,
                        Ok(_) => false,
                        Err(err) if err.kind() == std::io::ErrorKind::ConnectionReset => true,
                        Err(err) => return Err(err.into()),
                    };
                    while let Some(arrival) = self.wire.take(&mut buffer).map_err(|_| Failure::new("what the daemon sends is garbled"))? {
                        match arrival {
                            Arrival::Stdout(bytes) => cx.printer.raw(&bytes)?,
                            Arrival::Stderr(bytes) => cx.printer.raw_err(&bytes)?,
                            Arrival::Event(event) => {
                                if event["event"] == "started" {
                                    live = true;
                                    if is_terminal && raw.is_none() {
                                        raw = Some(terminal::RawMode::enter()?);
                                    }
                                }
                                if let Some(last) = events.event(event)? {
                                    return Ok(End::Event(last));
                                }
                            }
                        }
                    }
                    if ended {
                        if matches!(self.wire, Wire::Frames) || !buffer.is_empty() {
                            return Err(ClientError::Closed.into());
                        }
                        return Ok(End::Closed);
                    }
                }
                signal = next(&mut caught) => {
                    let Some((name, number)) = signal else { caught = None; continue };
                    // What does not run yet is called off.
                    if !proxied || !live {
                        return Err(Failure::quiet(128 + number as u8));
                    }
                    if let Some(bytes) = self.wire.control(&cx.client, Control::Signal(name)) {
                        let _ = urgent.send(bytes);
                    }
                }
                _ = changed(&mut window) => {
                    if let Some((rows, columns)) = terminal::size()
                        && let Some(bytes) = self.wire.control(&cx.client, Control::Resize(rows, columns))
                    {
                        let _ = urgent.send(bytes);
                    }
                }
                // Only as much is read of standard input as the other side takes.
                (input, permit) = typed_next(&mut typed, &send) => match input {
                    Input::Bytes(bytes) => permit.send(Some(self.wire.input(bytes))),
                    Input::End => {
                        typed = None;
                        permit.send((!self.wire.ends_input_by_closing()).then(|| self.wire.input(Bytes::new())));
                    }
                    Input::Detach => return Ok(End::Detached),
                },
                // The writer is gone: the other side closed; what it wrote before is still to be read.
                _ = written.recv(), if typed.is_some() => typed = None,
            }
        }
    }
}

type Outgoing = Option<Bytes>;

/// Writes what is sent; `None` closes this side.
async fn write(
    mut writer: WriteHalf<Upgraded>,
    mut receive: mpsc::Receiver<Outgoing>,
    mut controls: mpsc::UnboundedReceiver<Bytes>,
    _done: mpsc::Sender<()>,
) {
    loop {
        let next = tokio::select! {
            biased;
            Some(control) = controls.recv() => Some(control),
            next = receive.recv() => match next {
                Some(next) => next,
                None => return,
            },
        };
        let result = match next {
            Some(bytes) => match writer.write_all(&bytes).await {
                Ok(()) => writer.flush().await,
                Err(err) => Err(err),
            },
            None => {
                let _ = writer.shutdown().await;
                return;
            }
        };
        if result.is_err() {
            return;
        }
    }
}

async fn next(caught: &mut Option<mpsc::UnboundedReceiver<signals::Signal>>) -> Option<signals::Signal> {
    match caught {
        Some(caught) => caught.recv().await,
        None => std::future::pending().await,
    }
}

async fn changed(window: &mut Option<tokio::signal::unix::Signal>) {
    match window {
        Some(window) => {
            window.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Waits for room on the way out first, so that nothing that was read is lost.
async fn typed_next<'a>(
    typed: &mut Option<mpsc::Receiver<Input>>,
    send: &'a mpsc::Sender<Outgoing>,
) -> (Input, mpsc::Permit<'a, Outgoing>) {
    let Some(typed) = typed else { return std::future::pending().await };
    let Ok(permit) = send.reserve().await else { return std::future::pending().await };
    match typed.recv().await {
        Some(input) => (input, permit),
        None => std::future::pending().await,
    }
}
