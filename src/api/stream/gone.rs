//! A client that went away while its answer was silent.
//!
//! Whoever follows a quiet log is told nothing for hours; that the client has left would be noticed with the next line
//! only. Of a local socket the kernel says when both its directions are closed: then nobody reads the answer any more, and
//! what makes it is dropped. Over TCP a client that left cannot be told from one that has only finished its request.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::StreamExt;
use rustix::event::{PollFd, PollFlags, poll};
use tokio::{io::Interest, net::UnixStream};

use super::connection::Socket;

/// An answer that was silent for so long is worth a look at its client.
const SILENCE: Duration = Duration::from_secs(1);

/// A client's end of a local connection.
#[derive(Debug, Clone)]
pub struct Client {
    fd: Arc<OwnedFd>,
}

impl Client {
    /// `None` where the kernel cannot tell.
    pub fn of(socket: &Socket) -> Option<Self> {
        let Socket::Unix(stream) = socket else { return None };
        let fd = rustix::io::fcntl_dupfd_cloexec(stream.as_fd(), 0).ok()?;
        Some(Self { fd: Arc::new(fd) })
    }

    fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&*self.fd, PollFlags::empty())];
        poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok()
            && fds[0].revents().contains(PollFlags::HUP)
    }

    /// Returns when nobody reads any more; never, if that cannot be found out.
    async fn gone(&self) {
        if self.watch().await.is_err() {
            std::future::pending().await
        }
    }

    async fn watch(&self) -> io::Result<()> {
        let watched = UnixStream::from_std(std::os::unix::net::UnixStream::from(self.fd.try_clone()?))?;
        while !self.is_gone() {
            if watched.ready(Interest::READABLE).await?.is_read_closed() {
                // A client that has finished its request: this stays so, and what comes after it is no event any more.
                tokio::time::sleep(SILENCE).await;
                continue;
            }
            // Nothing is read here: only the next event is of interest.
            let _ = watched.try_io(Interest::READABLE, || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
        }
        Ok(())
    }

    /// The same body, which ends early when nobody reads it any more.
    pub fn while_here(self, body: Body) -> Body {
        if body.size_hint().exact().is_some() {
            return body;
        }
        let mut pieces = body.into_data_stream();
        Body::from_stream(async_stream::stream! {
            loop {
                let piece = match tokio::time::timeout(SILENCE, pieces.next()).await {
                    Ok(piece) => piece,
                    Err(_) => tokio::select! {
                        piece = pieces.next() => piece,
                        () = self.gone() => {
                            yield Err(axum::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)));
                            break;
                        }
                    },
                };
                match piece {
                    Some(piece) => yield piece as Result<Bytes, axum::Error>,
                    None => break,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_client_that_left_is_noticed_and_one_that_only_finished_is_not() {
        let (mut client, server) = UnixStream::pair().expect("a pair");
        let server = Socket::Unix(server);
        let watched = Client::of(&server).expect("a local socket");
        // Something unread, and no more requests: the answer is still wanted.
        client.write_all(b"more").await.expect("it is written");
        client.shutdown().await.expect("one direction is closed");
        assert!(!watched.is_gone());
        let (kept, dropped) = tokio::sync::oneshot::channel::<()>();
        let silent = Body::from_stream(async_stream::stream! {
            let _kept = kept;
            yield Ok::<_, io::Error>(Bytes::from_static(b"one"));
            tokio::time::sleep(SILENCE * 3 / 2).await;
            yield Ok(Bytes::from_static(b"two"));
            std::future::pending::<()>().await;
        });
        let mut body = watched.while_here(silent).into_data_stream();
        assert_eq!(body.next().await.expect("a piece").expect("no error"), "one");
        // While it waits and the client listens, the answer goes on.
        assert_eq!(body.next().await.expect("a piece").expect("no error"), "two");
        drop(client);
        assert!(body.next().await.expect("an end").is_err());
        assert!(body.next().await.is_none());
        drop(body);
        assert!(dropped.await.is_err());
    }
}
