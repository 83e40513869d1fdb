//! A connection to a supervisor, in the async world.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use hoist_runtime::supervisor::{Received, Reply, Request, connect, receive, send};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::io::unix::AsyncFd;

/// Messages both ways.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: AsyncFd<OwnedFd>,
}

impl Channel {
    /// Both ends of a new one; the second goes to a supervisor that is about to start.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self { socket: crate::io::watched(ours)? }, theirs))
    }

    /// To the supervisor of the container with that run directory.
    pub(crate) fn open(run_dir: &Path) -> io::Result<Self> {
        Ok(Self { socket: crate::io::watched(connect(run_dir)?)? })
    }

    pub(crate) async fn say(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            let mut ready = self.socket.writable().await?;
            match ready.try_io(|socket| send(socket.as_fd(), request, fds)) {
                Ok(result) => return result,
                Err(_) => continue,
            }
        }
    }

    /// The next message; `None` when the supervisor has gone.
    pub(crate) async fn hear(&self) -> io::Result<Option<Received<Reply>>> {
        loop {
            let mut ready = self.socket.readable().await?;
            match ready.try_io(|socket| receive(socket.as_fd())) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Ok(result) => return result,
                Err(_) => continue,
            }
        }
    }

    /// Asks, and waits for a plain answer.
    pub(crate) async fn ask(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.say(request, fds).await?;
        match self.hear().await?.map(|received| received.message) {
            Some(Reply::Done) => Ok(()),
            Some(Reply::Refused { message }) => Err(io::Error::other(message)),
            Some(_) => Err(io::Error::other("the supervisor gave an answer that makes no sense")),
            None => Err(io::Error::other("the container has just ended")),
        }
    }
}

/// One question to the supervisor of the container with that run directory.
pub(crate) async fn supervisor(run_dir: &Path, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    Channel::open(run_dir)?.ask(request, fds).await
}
