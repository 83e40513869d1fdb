//! Further processes in the container, each with the connection that asked for it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use jiff::Timestamp;
use oci_spec::runtime::{Process, Spec};
use rustix::process::{Pid, WaitOptions};

use super::other::Other;
use super::protocol::{Exit, Reply, Size, send};
use crate::cgroup::CgroupPath;
use crate::launch::{ExecInto, LaunchError, Stdio, TerminalSize, exec_into};

/// A process that was started by `Request::Exec`.
pub(super) struct Exec {
    pid: i32,
    pidfd: OwnedFd,
    started_at: Timestamp,
}

/// What an exec needs to know of its container.
pub(super) struct Target<'a> {
    pub init: i32,
    pub spec: &'a Spec,
    pub cgroup: &'a CgroupPath,
    /// Who made it, if not we.
    pub other: Option<&'a Other>,
}

impl Exec {
    /// Starts it and says so on `connection`.
    pub(super) fn start(
        connection: &OwnedFd,
        target: &Target<'_>,
        process: &Process,
        terminal: Option<Option<Size>>,
        fds: Vec<OwnedFd>,
    ) -> Option<Self> {
        let mut fds = fds.into_iter();
        let stdio = match (terminal, fds.next(), fds.next(), fds.next()) {
            (Some(size), ..) => Stdio::Terminal { size: size.map(Into::into) },
            (None, Some(stdin), Some(stdout), Some(stderr)) => {
                own_pipes(process, [&stdin, &stdout, &stderr]);
                Stdio::Streams { stdin, stdout, stderr }
            }
            _ => {
                let message = "the streams of the process are missing".to_owned();
                let _ = send(connection, &Reply::Failed { message, exit_code: 125 }, &[]);
                return None;
            }
        };
        let launched = match target.other {
            Some(other) => other.exec(process, stdio),
            None => exec_into(ExecInto {
                init: target.init,
                process,
                spec: target.spec,
                stdio,
                cgroup: target.cgroup.clone(),
                pass_fds: Vec::new(),
            }),
        };
        match launched {
            Ok(launched) => {
                let started_at = Timestamp::now();
                let terminal: Vec<BorrowedFd<'_>> = launched.terminal.iter().map(AsFd::as_fd).collect();
                let _ = send(connection, &Reply::Started { pid: launched.pid, at: started_at }, &terminal);
                Some(Self { pid: launched.pid, pidfd: launched.pidfd, started_at })
            }
            Err(error) => {
                let _ = send(connection, &failed(&error), &[]);
                None
            }
        }
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn signal(&self, signal: i32) -> io::Result<()> {
        send_signal(&self.pidfd, signal)
    }

    /// Takes its exit code, once it has ended.
    pub(super) fn reap(&self) -> Option<Exit> {
        reap(self.pid, self.started_at)
    }
}

/// Gives pipes to the user of the process, who may open them by name (`/dev/stdout`). What is no pipe is not ours.
pub(super) fn own_pipes(process: &Process, streams: [&OwnedFd; 3]) {
    let owner = Some(rustix::fs::Uid::from_raw(process.user().uid()));
    for stream in streams {
        let kind = rustix::fs::fstat(stream).map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode));
        if kind.is_ok_and(|kind| kind.is_fifo()) {
            // A process that never does that needs it not.
            let _ = rustix::fs::fchown(stream, owner, None);
        }
    }
}

pub(super) fn send_signal(pidfd: &OwnedFd, signal: i32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // Real-time signals have no name in `rustix::process::Signal`, and people may send any.
    // SAFETY: the system call reads nothing through its null pointer.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How the child `pid` ended; `None` while it runs.
pub(super) fn reap(pid: i32, started_at: Timestamp) -> Option<Exit> {
    let (_, status) = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::NOHANG).ok()??;
    let signal = status.terminating_signal();
    let code = signal.map_or(status.exit_status().unwrap_or(255), |signal| 128 + signal);
    Some(Exit { code, signal, oom_killed: false, started_at, finished_at: Timestamp::now() })
}

/// A failure in the words of the protocol: the error with all its causes.
pub(super) fn failed(error: &LaunchError) -> Reply {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    Reply::Failed { message, exit_code: error.exit_code() }
}

impl From<Size> for TerminalSize {
    fn from(size: Size) -> Self {
        Self { rows: size.rows, columns: size.columns }
    }
}
