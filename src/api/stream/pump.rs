//! Bytes between a client and a process.

use bytes::{BufMut, BytesMut};
use hoist_engine::{Attached, Chunk, Input, LogStream, Output, StreamKind};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{detach::DetachKeys, frames, hijack::Taken};
use crate::api::docker::containers::logs::Form;

/// What goes over the connection.
#[derive(Debug, Default)]
pub struct Plan {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Output goes as it is, not in frames that name its stream.
    pub raw: bool,
    /// Watched for in the input of a terminal.
    pub keys: DetachKeys,
}

/// How a client's connection to a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// The process has nothing more to say.
    Over,
    /// The client left by its keys or went away.
    Detached,
}

/// Carries bytes until the process's output ends and `over` is ready, or the client detaches.
pub async fn run(
    taken: Taken,
    attached: Attached,
    earlier: Option<LogStream>,
    plan: Plan,
    over: impl Future,
) -> Parting {
    let Taken { mut reader, mut writer } = taken;
    let Attached { output, mut input, tty } = attached;
    let keys = (tty && plan.stdin).then(|| plan.keys.clone());
    let outward = async {
        if let Some(lines) = earlier
            && replay(lines, &mut writer, plan.raw).await.is_err()
        {
            return Parting::Detached;
        }
        if forward(output, &mut writer, &plan).await == Parting::Detached {
            return Parting::Detached;
        }
        over.await;
        let _ = writer.shutdown().await;
        Parting::Over
    };
    let mut outward = std::pin::pin!(outward);
    let inward = async {
        if plan.stdin {
            feed(&mut reader, &mut input, keys).await
        } else {
            // Nothing is expected; the end of it does not mean that the client is gone.
            let mut ignored = [0; 256];
            while matches!(reader.read(&mut ignored).await, Ok(1..)) {}
            Fed::Ended
        }
    };
    tokio::select! {
        parting = &mut outward => return parting,
        fed = inward => if matches!(fed, Fed::Detached) { return Parting::Detached },
    }
    outward.await
}

/// Why no more input comes.
enum Fed {
    Ended,
    Detached,
}

async fn feed(
    reader: &mut (impl tokio::io::AsyncRead + Unpin),
    input: &mut Input,
    mut keys: Option<DetachKeys>,
) -> Fed {
    let mut buffer = BytesMut::with_capacity(32 << 10);
    let mut passed = Vec::new();
    loop {
        buffer.clear();
        if !matches!(reader.read_buf(&mut buffer).await, Ok(1..)) {
            // A terminal has no end of input: who watches for keys has left, as Docker's client does on them.
            if keys.is_some() {
                return Fed::Detached;
            }
            let _ = input.close().await;
            return Fed::Ended;
        }
        let data = match &mut keys {
            Some(keys) => {
                passed.clear();
                if keys.watch(&buffer, &mut passed) {
                    return Fed::Detached;
                }
                &passed[..]
            }
            None => &buffer[..],
        };
        if !data.is_empty() && input.write(data).await.is_err() {
            // The process reads no more; its output still matters.
            return Fed::Ended;
        }
    }
}

async fn forward(mut output: Output, writer: &mut (impl AsyncWrite + Unpin), plan: &Plan) -> Parting {
    let mut framed = BytesMut::new();
    loop {
        let chunk = match output.next().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Parting::Over,
            Err(err) => {
                tracing::debug!("output of a process: {}", err.message());
                return Parting::Over;
            }
        };
        if !wanted(&chunk, plan) {
            continue;
        }
        let sent = if plan.raw {
            writer.write_all(&chunk.data).await
        } else {
            framed.clear();
            frames::put(&mut framed, kind(chunk.stream), &chunk.data);
            writer.write_all(&framed).await
        };
        if sent.is_err() || writer.flush().await.is_err() {
            return Parting::Detached;
        }
    }
}

fn wanted(chunk: &Chunk, plan: &Plan) -> bool {
    match chunk.stream {
        StreamKind::Stdout => plan.stdout,
        StreamKind::Stderr => plan.stderr,
    }
}

/// The frame that a stream goes in.
pub fn kind(stream: StreamKind) -> u8 {
    match stream {
        StreamKind::Stdout => frames::STDOUT,
        StreamKind::Stderr => frames::STDERR,
    }
}

/// Tells what was said before, and nothing of what comes.
pub async fn recall(taken: Taken, earlier: Option<LogStream>, raw: bool) {
    let mut writer = taken.writer;
    if let Some(lines) = earlier {
        let _ = replay(lines, &mut writer, raw).await;
    }
    let _ = writer.shutdown().await;
}

async fn replay(mut lines: LogStream, writer: &mut (impl AsyncWrite + Unpin), tty: bool) -> std::io::Result<()> {
    let mut out = BytesMut::new();
    while let Ok(Some(entry)) = lines.next().await {
        Form::default().put(&mut out, &entry, tty);
        if out.len() > 32 << 10 {
            writer.write_all(&out).await?;
            out.clear();
        }
    }
    writer.write_all(&out).await?;
    writer.flush().await
}

/// Says why a process could not be started where its output would have been.
pub async fn complain(taken: Taken, message: &str, tty: bool) {
    let mut writer = taken.writer;
    let mut out = BytesMut::new();
    let line = format!("{message}\r\n");
    if tty {
        out.put_slice(line.as_bytes());
    } else {
        frames::put(&mut out, frames::STDERR, line.as_bytes());
    }
    let _ = writer.write_all(&out).await;
    let _ = writer.shutdown().await;
}
