//! A process that passes a container's lines on to the machine's log or to another machine.
//!
//! A server that is slow or away must not hold up the supervisor, which has one thread. So what is sent goes through a
//! child of it, which reads output in the form of an attached client ([`frame`]) and may wait as long as it likes. It
//! goes when the supervisor has gone and all is sent.

mod journald;
mod lines;
mod syslog;
mod tls;

use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};

use jiff::Timestamp;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use self::lines::Lines;
use super::frame;
use super::protocol::SendTarget;
use crate::sys;

/// A line, or a part of one that is too long.
struct Line<'a> {
    /// From stderr.
    error: bool,
    time: Timestamp,
    /// Without its end.
    text: &'a [u8],
    /// More of it follows, or came before.
    part: Option<Part>,
}

/// Which part of a long line it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// The same for all parts of a line.
    id: u64,
    /// From 1.
    ordinal: u64,
    last: bool,
}

/// Where lines go.
enum Connection {
    Journald(journald::Journald),
    Syslog(Box<syslog::Syslog>),
}

impl Connection {
    fn open(target: SendTarget) -> io::Result<Self> {
        Ok(match target {
            SendTarget::Journald(settings) => Self::Journald(journald::Journald::open(settings)?),
            SendTarget::Syslog(settings) => Self::Syslog(Box::new(syslog::Syslog::open(settings)?)),
        })
    }

    /// A line that cannot be sent is lost, as nobody is there who could be told.
    fn send(&mut self, line: &Line<'_>) {
        let _ = match self {
            Self::Journald(journald) => journald.send(line),
            Self::Syslog(syslog) => syslog.send(line),
        };
    }
}

/// Connects, and starts the process; answers the socket that takes frames. When nobody listens it is an error.
pub(super) fn start(target: SendTarget) -> io::Result<OwnedFd> {
    let connection = Connection::open(target)?;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: this process has one thread, so the child may do whatever the parent could.
    match unsafe { libc::fork() } {
        0 => {
            let _ = rustix::thread::set_name(c"hoist-log");
            keep_only(&theirs, &connection);
            end_after_supervisor();
            serve(theirs, connection);
            sys::exit_now(0)
        }
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(ours),
    }
}

/// Closes all that the supervisor has: an attached client, for one, must see it end.
fn keep_only(frames: &OwnedFd, connection: &Connection) {
    let used = match connection {
        Connection::Journald(journald) => journald.descriptor(),
        Connection::Syslog(syslog) => syslog.descriptor(),
    };
    let (low, high) = (frames.as_raw_fd().min(used), frames.as_raw_fd().max(used));
    close_between(3, low);
    close_between(low + 1, high);
    sys::close_from(high.unsigned_abs() + 1);
}

/// What is left to be sent when the supervisor has gone gets some seconds, and no more: the server may never take it.
fn end_after_supervisor() {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    extern "C" fn end_soon(_: libc::c_int) {
        // SAFETY: may be called in a handler. The alarm's own signal ends the process.
        unsafe { libc::alarm(10) };
    }
    let action = SigAction::new(SigHandler::Handler(end_soon), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler makes one system call.
    let _ = unsafe { sigaction(Signal::SIGUSR1, &action) };
    let _ = sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1 as u64, 0);
}

/// Closes descriptors from `first` to the one before `end`.
fn close_between(first: i32, end: i32) {
    if first < end {
        // SAFETY: no memory is passed, and this process goes on with none of them.
        unsafe { libc::syscall(libc::SYS_close_range, first, end - 1, 0) };
    }
}

fn serve(frames: OwnedFd, mut connection: Connection) {
    let mut frames = io::BufReader::with_capacity(frame::MAX, std::fs::File::from(frames));
    let mut lines = [Lines::default(), Lines::default()];
    let mut data = Vec::new();
    loop {
        let mut header = [0; frame::HEADER];
        if frames.read_exact(&mut header).is_err() {
            break;
        }
        let Some((kind, length)) = frame::parse(&header) else { break };
        data.resize(length.min(frame::MAX), 0);
        if frames.read_exact(&mut data).is_err() {
            break;
        }
        let error = kind == frame::STDERR;
        lines[usize::from(error)].take(error, &data, |line| connection.send(line));
    }
    for (lines, error) in lines.iter_mut().zip([false, true]) {
        lines.finish(error, |line| connection.send(line));
    }
}
