//! Bytes that flow between a caller and a container.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use hoist_proto::clock::Timestamp;
use hoist_runtime::supervisor::frame;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use crate::Result;

/// Which of a process's output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Also everything that a terminal shows.
    Stdout,
    Stderr,
}

/// Some output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub stream: StreamKind,
    pub data: Bytes,
}

/// A caller's connection to a process. Dropping it detaches.
#[derive(Debug)]
pub struct Attached {
    /// What the process writes; for a container also with what it wrote since `attach`, even if that was before its start.
    pub output: Output,
    /// What the process reads.
    pub input: Input,
    /// Whether the process has a terminal (all output is `Stdout` then).
    pub tty: bool,
}

/// A process's output.
#[derive(Debug)]
pub struct Output {
    source: Source,
    buffer: BytesMut,
}

#[derive(Debug)]
enum Source {
    /// From a supervisor.
    Frames(OwnedReadHalf),
    /// From the process itself.
    Pipes {
        stdout: Option<pipe::Receiver>,
        stderr: Option<pipe::Receiver>,
    },
    Terminal(std::sync::Arc<AsyncFd<OwnedFd>>),
}

const READ: usize = 64 << 10;

impl Output {
    /// The next piece; `None` when the process has closed its output or ended.
    ///
    /// # Errors
    /// When the connection to the supervisor breaks.
    pub async fn next(&mut self) -> Result<Option<Chunk>> {
        self.buffer.reserve(READ);
        match &mut self.source {
            Source::Frames(stream) => loop {
                if let Some(chunk) = take_frame(&mut self.buffer)? {
                    return Ok(Some(chunk));
                }
                if stream.read_buf(&mut self.buffer).await? == 0 {
                    return Ok(None);
                }
            },
            Source::Pipes { stdout, stderr } => loop {
                let mut err = BytesMut::new();
                let (stream, count) = match (stdout.as_mut(), stderr.as_mut()) {
                    (None, None) => return Ok(None),
                    (Some(out), None) => (StreamKind::Stdout, out.read_buf(&mut self.buffer).await?),
                    (None, Some(err)) => (StreamKind::Stderr, err.read_buf(&mut self.buffer).await?),
                    (Some(out), Some(other)) => {
                        err.reserve(READ);
                        tokio::select! {
                            count = out.read_buf(&mut self.buffer) => (StreamKind::Stdout, count?),
                            count = other.read_buf(&mut err) => {
                                let count = count?;
                                self.buffer = err;
                                (StreamKind::Stderr, count)
                            }
                        }
                    }
                };
                if count > 0 {
                    return Ok(Some(Chunk { stream, data: self.buffer.split().freeze() }));
                }
                match stream {
                    StreamKind::Stdout => *stdout = None,
                    StreamKind::Stderr => *stderr = None,
                }
            },
            Source::Terminal(terminal) => {
                let mut buffer = vec![0; 16 << 10];
                loop {
                    let mut ready = terminal.readable().await?;
                    match ready.try_io(|fd| Ok(rustix::io::read(fd, buffer.as_mut_slice())?)) {
                        Ok(Ok(count)) if count > 0 => {
                            buffer.truncate(count);
                            return Ok(Some(Chunk { stream: StreamKind::Stdout, data: buffer.into() }));
                        }
                        // A terminal whose last process has gone says EIO.
                        Ok(_) => return Ok(None),
                        Err(_) => continue,
                    }
                }
            }
        }
    }
}

fn take_frame(buffer: &mut BytesMut) -> io::Result<Option<Chunk>> {
    let Some((kind, length)) = frame::parse(buffer) else { return Ok(None) };
    let stream = match kind {
        frame::STDOUT => StreamKind::Stdout,
        frame::STDERR => StreamKind::Stderr,
        _ => return Err(io::Error::other("the supervisor sent what makes no sense")),
    };
    if buffer.len() < frame::HEADER + length {
        buffer.reserve(frame::HEADER + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(frame::HEADER);
    Ok(Some(Chunk { stream, data: buffer.split_to(length).freeze() }))
}

/// A process's input. Does nothing when stdin is not open or not asked for.
#[derive(Debug)]
pub struct Input {
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Closed,
    Frames { stream: OwnedWriteHalf, wanted: bool },
    Pipe(pipe::Sender),
    Terminal(std::sync::Arc<AsyncFd<OwnedFd>>),
}

impl Input {
    /// Hands bytes over; waits while the process does not read.
    ///
    /// # Errors
    /// When the process has closed its input or ended.
    pub async fn write(&mut self, data: &[u8]) -> Result<()> {
        match &mut self.sink {
            Sink::Closed | Sink::Frames { wanted: false, .. } => {}
            Sink::Frames { stream, .. } => {
                for piece in data.chunks(frame::MAX) {
                    stream.write_all(&frame::header(frame::STDIN, piece.len())).await?;
                    stream.write_all(piece).await?;
                }
            }
            Sink::Pipe(pipe) => pipe.write_all(data).await?,
            Sink::Terminal(terminal) => {
                let mut rest = data;
                while !rest.is_empty() {
                    let mut ready = terminal.writable().await?;
                    if let Ok(result) = ready.try_io(|fd| Ok(rustix::io::write(fd, rest)?)) {
                        rest = &rest[result?..];
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends the input (`stdin_once`, execs): the process reads end of file.
    ///
    /// # Errors
    /// When the connection to the supervisor breaks.
    pub async fn close(&mut self) -> Result<()> {
        match &mut self.sink {
            Sink::Frames { stream, wanted } => {
                if std::mem::take(wanted) {
                    stream.write_all(&frame::header(frame::STDIN, 0)).await?;
                }
            }
            Sink::Pipe(_) => self.sink = Sink::Closed,
            // A terminal has no end of file but the one that a person types.
            Sink::Closed | Sink::Terminal(_) => {}
        }
        Ok(())
    }
}

impl Attached {
    /// Over a supervisor's attach stream.
    pub(crate) fn over(stream: UnixStream, stdin: bool, tty: bool) -> Self {
        let (read, write) = stream.into_split();
        Self {
            output: Output { source: Source::Frames(read), buffer: BytesMut::new() },
            input: Input { sink: Sink::Frames { stream: write, wanted: stdin } },
            tty,
        }
    }

    /// The process's own pipes.
    pub(crate) fn pipes(stdin: Option<OwnedFd>, stdout: Option<OwnedFd>, stderr: Option<OwnedFd>) -> io::Result<Self> {
        let receive = |fd: Option<OwnedFd>| fd.map(pipe::Receiver::from_owned_fd).transpose();
        let source = Source::Pipes { stdout: receive(stdout)?, stderr: receive(stderr)? };
        let sink = stdin.map(pipe::Sender::from_owned_fd).transpose()?.map_or(Sink::Closed, Sink::Pipe);
        Ok(Self { output: Output { source, buffer: BytesMut::new() }, input: Input { sink }, tty: false })
    }

    /// The master of the process's terminal.
    pub(crate) fn terminal(terminal: std::sync::Arc<AsyncFd<OwnedFd>>) -> Self {
        Self {
            output: Output { source: Source::Terminal(terminal.clone()), buffer: BytesMut::new() },
            input: Input { sink: Sink::Terminal(terminal) },
            tty: true,
        }
    }
}

/// A line of a container's log, with its line end where it had one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub time: Timestamp,
    pub stream: StreamKind,
    pub line: Bytes,
}

/// Lines of a log, oldest first.
#[derive(Debug)]
pub struct LogStream {
    pub(crate) receiver: mpsc::Receiver<Result<LogEntry>>,
}

impl LogStream {
    /// The next line; `None` at the end (with `follow`, when the container stops).
    ///
    /// # Errors
    /// When a log file cannot be read.
    pub async fn next(&mut self) -> Result<Option<LogEntry>> {
        self.receiver.recv().await.transpose()
    }
}

impl Stream for LogStream {
    type Item = Result<LogEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx)
    }
}
