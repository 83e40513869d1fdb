//! The words between a launching process and the container's process that it is about to become.
//!
//! A pair of packet sockets. The child's end closes when the command is executed: silence is success.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};

use super::step::StepError;

/// What the container's process says.
#[derive(Debug)]
pub(crate) enum FromChild {
    /// A step failed; the process has ended or is about to.
    Failed(StepError),
    /// The mounts are in place; hooks of the runtime's namespace may run. Waits for an answer.
    HooksPlease,
    /// The master of the container's terminal.
    Terminal(OwnedFd),
    /// The notification descriptor of the system call filter. Waits for an answer.
    Seccomp(OwnedFd),
    /// The container's process, started by a process that has joined its user namespace for that.
    Process(i32, OwnedFd),
    /// All is ready; the command is executed when the container is started.
    Created,
}

/// What the launching process answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToChild {
    Continue,
}

/// One end.
#[derive(Debug)]
pub(crate) struct Wire(OwnedFd);

const LONGEST: usize = 4096;

/// Tag, body and descriptor of a message.
type Packet = (u8, Vec<u8>, Option<OwnedFd>);

impl Wire {
    /// Two ends.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(one), Self(other)))
    }

    /// This end speaks through another socket from now on.
    pub(crate) fn replace(&mut self, with: OwnedFd) -> io::Result<()> {
        Ok(rustix::io::dup3(&with, &mut self.0, rustix::io::DupFlags::CLOEXEC)?)
    }

    fn send(&self, tag: u8, body: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let message = [&[tag], body].concat();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [fd.unwrap_or(self.0.as_fd())];
        if fd.is_some() {
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        rustix::net::sendmsg(&self.0, &[io::IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn receive(&self) -> io::Result<Option<Packet>> {
        let mut bytes = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let length = loop {
            let into = &mut [io::IoSliceMut::new(&mut bytes)];
            match rustix::net::recvmsg(&self.0, into, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received.bytes,
                Err(rustix::io::Errno::INTR) => {}
                // The other end is gone with something unread: as good as silence.
                Err(rustix::io::Errno::CONNRESET) => break 0,
                Err(error) => return Err(error.into()),
            }
        };
        let mut fd = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut fds) = message {
                fd = fds.next();
            }
        }
        bytes.truncate(length);
        Ok((!bytes.is_empty()).then(|| (bytes.remove(0), bytes, fd)))
    }

    /// From the child.
    pub(crate) fn say(&self, message: &FromChild) -> io::Result<()> {
        match message {
            FromChild::Failed(error) => self.send(0, &error.encode(), None),
            FromChild::HooksPlease => self.send(1, &[], None),
            FromChild::Terminal(fd) => self.send(2, &[], Some(fd.as_fd())),
            FromChild::Seccomp(fd) => self.send(3, &[], Some(fd.as_fd())),
            FromChild::Created => self.send(4, &[], None),
            FromChild::Process(pid, fd) => self.send(5, &pid.to_le_bytes(), Some(fd.as_fd())),
        }
    }

    /// To the parent: the next message, or `None` when the child's end is closed.
    pub(crate) fn hear(&self) -> io::Result<Option<FromChild>> {
        let Some((tag, body, fd)) = self.receive()? else {
            return Ok(None);
        };
        let garbled = || io::Error::new(io::ErrorKind::InvalidData, "garbled message from the container's process");
        let message = match (tag, fd) {
            (0, _) => FromChild::Failed(StepError::decode(&body).ok_or_else(garbled)?),
            (1, _) => FromChild::HooksPlease,
            (2, Some(fd)) => FromChild::Terminal(fd),
            (3, Some(fd)) => FromChild::Seccomp(fd),
            (4, _) => FromChild::Created,
            (5, Some(fd)) => FromChild::Process(i32::from_le_bytes(body.try_into().map_err(|_| garbled())?), fd),
            _ => return Err(garbled()),
        };
        Ok(Some(message))
    }

    /// From the parent.
    pub(crate) fn answer(&self, _: ToChild) -> io::Result<()> {
        self.send(100, &[], None)
    }

    /// To the child: waits for the parent's answer. Fails if the parent is gone.
    pub(crate) fn wait(&self) -> io::Result<()> {
        match self.receive()? {
            Some((100, ..)) => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::EPIPE)),
        }
    }
}

impl From<OwnedFd> for Wire {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
