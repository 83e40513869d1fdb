//! A client's connection, which also understands the older form of an upgrade.
//!
//! Docker lets a client take over the connection of `attach` and of an exec's start in two ways: by
//! an HTTP upgrade (`101`), and, for older clients, by just sending on after the request and taking
//! what follows the answer's head (`200`) as the stream. HTTP knows only the first. So the first
//! request's head is looked at here: where it asks for such a stream without an upgrade, the words
//! for one are put in, and the `101` of the answer goes out as the `200` that the client waits for.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use hoist_runtime::inherit::unread_by_peer;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// No request's head is longer.
const HEAD: usize = 64 << 10;
/// How many milliseconds a client gets to read an answer's head before its stream begins.
const PATIENCE: u32 = 50;
/// What tells our own words from a client's.
pub const OLDER_FORM: &str = "hoist-older-form";

/// The stream below a connection.
#[derive(Debug)]
pub enum Socket {
    Unix(UnixStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// From another node of the cluster.
    Tunnel(DuplexStream),
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tunnel(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tunnel(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tunnel(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tunnel(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    stream: Socket,
    /// Read already, not handed on yet.
    ahead: BytesMut,
    answer: Answer,
}

/// What becomes of the answer's head.
#[derive(Debug)]
enum Answer {
    /// Goes out as it is.
    AsIs,
    /// The next bytes begin a head, and a `101` is to be a `200`.
    Pending,
    /// Being written in place of `instead_of` bytes of the writer's.
    Writing { bytes: BytesMut, instead_of: usize },
}

impl Connection {
    /// Reads the first request's head and prepares for what it asks.
    ///
    /// # Errors
    /// What the socket fails with.
    pub async fn open(mut stream: Socket) -> io::Result<Self> {
        let mut ahead = BytesMut::with_capacity(4 << 10);
        let answer = loop {
            if stream.read_buf(&mut ahead).await? == 0 {
                break Answer::AsIs;
            }
            if let Some(end) = head_end(&ahead) {
                if !wants_older_form(&ahead[..end]) {
                    break Answer::AsIs;
                }
                let line = ahead.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let rest = ahead.split_off(line);
                ahead.extend_from_slice(format!("Connection: Upgrade\r\nUpgrade: {OLDER_FORM}\r\n").as_bytes());
                ahead.unsplit(rest);
                break Answer::Pending;
            }
            if ahead.len() > HEAD {
                break Answer::AsIs;
            }
        };
        Ok(Self { stream, ahead, answer })
    }

    /// Waits a moment for the client to read what was written. Clients in some languages read an
    /// answer's head through a buffer and the stream behind it past the buffer: what arrives together
    /// with the head is lost to them.
    pub async fn head_taken(&self) {
        // Over TCP nobody can tell what the client has read.
        let Socket::Unix(stream) = &self.stream else { return };
        for _ in 0..PATIENCE {
            if !matches!(unread_by_peer(stream), Ok(1..)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Where the head ends, its empty line included.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Whether a request's head asks for a stream and names no upgrade.
fn wants_older_form(head: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(head) else { return false };
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some("POST"), Some(target)) = (words.next(), words.next()) else { return false };
    let path = target.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let parts = match parts.as_slice() {
        [version, rest @ ..] if version.starts_with('v') && version.contains('.') => rest,
        all => all,
    };
    let streams = matches!(parts, ["containers", _, "attach"] | ["exec", _, "start"]);
    streams && !lines.any(|line| line.get(..8).is_some_and(|name| name.eq_ignore_ascii_case("upgrade:")))
}

/// The `200` that stands for a `101`, with the stream's type kept.
fn as_older_form(head: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(head).ok()?;
    text.starts_with("HTTP/1.1 101").then(|| {
        let kind = text
            .split("\r\n")
            .find(|line| line.get(..13).is_some_and(|name| name.eq_ignore_ascii_case("content-type:")))
            .unwrap_or("Content-Type: application/vnd.docker.raw-stream");
        format!("HTTP/1.1 200 OK\r\n{kind}\r\n\r\n").into_bytes()
    })
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.has_remaining() {
            let length = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..length]);
            self.ahead.advance(length);
            if self.ahead.is_empty() {
                self.ahead = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            match &mut this.answer {
                Answer::AsIs => return Pin::new(&mut this.stream).poll_write(cx, buf),
                Answer::Pending => {
                    this.answer = match head_end(buf).and_then(|end| Some((end, as_older_form(&buf[..end])?))) {
                        Some((end, head)) => Answer::Writing { bytes: head[..].into(), instead_of: end },
                        None => Answer::AsIs,
                    };
                }
                Answer::Writing { bytes, instead_of } => {
                    while bytes.has_remaining() {
                        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
                        bytes.advance(written);
                    }
                    let consumed = *instead_of;
                    this.answer = Answer::AsIs;
                    return Poll::Ready(Ok(consumed));
                }
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn only_streams_without_an_upgrade_are_helped() {
        for (head, helped) in [
            ("POST /v1.41/containers/x/attach?stream=1 HTTP/1.1\r\nHost: x\r\n\r\n", true),
            ("POST /exec/x/start HTTP/1.1\r\n\r\n", true),
            ("POST /exec/x/start HTTP/1.1\r\nUPGRADE: tcp\r\n\r\n", false),
            ("GET /containers/x/attach HTTP/1.1\r\n\r\n", false),
            ("POST /containers/x/start HTTP/1.1\r\n\r\n", false),
        ] {
            assert_eq!(wants_older_form(head.as_bytes()), helped, "{head}");
        }
    }

    #[tokio::test]
    async fn an_upgrade_is_put_in_and_its_answer_changed() {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(b"POST /exec/x/start HTTP/1.1\r\nHost: d\r\n\r\nstdin").await.unwrap();
        let mut connection = Connection::open(Socket::Unix(server)).await.unwrap();
        let mut got = vec![0; 500];
        let length = connection.read(&mut got).await.unwrap();
        let text = String::from_utf8_lossy(&got[..length]).into_owned();
        assert_eq!(
            text,
            "POST /exec/x/start HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: hoist-older-form\r\nHost: d\r\n\r\nstdin"
        );
        let answer = b"HTTP/1.1 101 Switching Protocols\r\ncontent-type: a/b\r\nupgrade: x\r\n\r\nout";
        connection.write_all(answer).await.unwrap();
        connection.write_all(b" and HTTP/1.1 101 more").await.unwrap();
        drop(connection);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "HTTP/1.1 200 OK\r\ncontent-type: a/b\r\n\r\nout and HTTP/1.1 101 more");
    }
}
