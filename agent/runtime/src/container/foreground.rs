//! Staying with a process that was started: its signals, its terminal, its exit code.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::termios::{OptionalActions, Termios};

use crate::launch::Launched;
use crate::sys;

/// Sends a terminal's master to the socket of whoever will serve it.
pub(super) fn send_terminal(socket: &Path, master: &OwnedFd) -> io::Result<()> {
    let socket = UnixStream::connect(socket)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [master.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    // The bytes are the terminal's name, which receivers may show.
    rustix::net::sendmsg(&socket, &[IoSlice::new(b"/dev/ptmx")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Signals that this process takes for its child until it ends; they come through a descriptor.
pub(crate) struct Signals(OwnedFd);

impl Signals {
    /// Blocks them from now on. To be called before the child is started, so that none is lost.
    pub(crate) fn take() -> io::Result<Self> {
        sys::signal_fd().map(Self)
    }

    fn next(&self) -> io::Result<Option<i32>> {
        let mut info = [0u8; 128];
        match rustix::io::read(&self.0, &mut info) {
            Ok(_) => Ok(info.first_chunk().map(|number| i32::from_ne_bytes(*number))),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The caller's terminal in raw mode, put back at the end.
struct Raw(Option<Termios>);

impl Raw {
    fn new() -> Self {
        let stdin = rustix::stdio::stdin();
        let Ok(before) = rustix::termios::tcgetattr(stdin) else { return Self(None) };
        let mut raw = before.clone();
        raw.make_raw();
        let _ = rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw);
        Self(Some(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Copies between the caller's streams and the process's terminal, if it has one, and passes signals on, until the
/// process ends. Returns its exit code.
pub(crate) fn stay(launched: &Launched, signals: &Signals) -> io::Result<i32> {
    let terminal = launched.terminal.as_ref();
    let _raw = terminal.map(|_| Raw::new());
    if let Some(terminal) = terminal {
        copy_size(terminal);
    }
    let mut input = terminal.is_some();
    let mut output = terminal.is_some();
    loop {
        let mut fds = vec![PollFd::new(&launched.pidfd, PollFlags::IN), PollFd::new(&signals.0, PollFlags::IN)];
        let stdin = rustix::stdio::stdin();
        if let Some(terminal) = terminal.filter(|_| output) {
            fds.push(PollFd::new(terminal, PollFlags::IN));
            if input {
                fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
            }
        }
        match rustix::event::poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[1] {
            while let Some(signal) = signals.next()? {
                pass_on(signal, launched, terminal);
            }
        }
        if let Some(terminal) = terminal {
            if ready.get(2) == Some(&true) {
                output = copy(terminal.as_fd(), rustix::stdio::stdout());
            }
            if ready.get(3) == Some(&true) {
                input = copy(stdin, terminal.as_fd());
                if !input {
                    // End of input is a character on a terminal.
                    let _ = rustix::io::write(terminal, b"\x04");
                }
            }
        }
        if ready[0] {
            break;
        }
    }
    if let Some(terminal) = terminal.filter(|_| output) {
        drain(terminal);
    }
    sys::waitpid(launched.pid).map(crate::hooks::exit_code)
}

/// What the process wrote before it ended.
fn drain(terminal: &OwnedFd) {
    if rustix::fs::fcntl_setfl(terminal, OFlags::NONBLOCK).is_ok() {
        while copy(terminal.as_fd(), rustix::stdio::stdout()) {}
    }
}

fn pass_on(signal: i32, launched: &Launched, terminal: Option<&OwnedFd>) {
    match signal {
        libc::SIGWINCH => {
            if let Some(terminal) = terminal {
                copy_size(terminal);
            }
        }
        libc::SIGCHLD | libc::SIGURG => {}
        other => drop(sys::pidfd_send_signal(launched.pidfd.as_fd(), other)),
    }
}

fn copy_size(terminal: &OwnedFd) {
    if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
        let _ = rustix::termios::tcsetwinsize(terminal, size);
    }
}

/// Copies what is there; false when there will be nothing more.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 8192];
    let length = match rustix::io::read(from, &mut buffer) {
        Ok(0) => return false,
        Ok(length) => length,
        Err(rustix::io::Errno::INTR) => return true,
        // The other side of a terminal is closed: EIO. Nothing there while draining: EAGAIN.
        Err(_) => return false,
    };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}
