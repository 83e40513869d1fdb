//! Both ends of the zygote: the process that forks supervisors, and the daemon's handle to it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use oci_spec::runtime::LinuxSeccomp;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use super::protocol::{Received, StartRequest, receive, send};
use super::run;

/// By this name the program knows that it is to be the zygote.
const NAME: &str = "hoist-supervisor";

/// What the zygote is to do.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Task<S> {
    /// Compile these filters, so that supervisors find them compiled.
    Prepare { filters: Vec<LinuxSeccomp> },
    /// Fork a supervisor.
    Start(S),
}

/// The daemon's handle. Dropping it ends the zygote, and no supervisor.
#[derive(Debug)]
pub struct Zygote {
    socket: OwnedFd,
    child: Child,
}

impl Zygote {
    /// Starts one. The program's `main` must begin with [`guard`](crate::guard). The filters of system calls that most
    /// containers will have are compiled by it once, not by each supervisor.
    ///
    /// # Errors
    /// When the program cannot be run again.
    pub fn spawn(filters: Vec<LinuxSeccomp>) -> io::Result<Self> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let program = crate::sealed_self()?;
        let child = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
            .arg0(NAME)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            // A supervisor may outlive whoever reads the daemon's output.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        send(&ours, &Task::<StartRequest>::Prepare { filters }, &[])?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        Ok(Self { socket: ours, child })
    }

    /// Asks for a supervisor; see [`StartRequest`] for the descriptors. It answers on the first of them.
    ///
    /// # Errors
    /// `WouldBlock` when the zygote is busy (wait until the socket can be written); `BrokenPipe` or
    /// `ConnectionReset` when it is gone.
    pub fn start(&self, request: &StartRequest, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(&self.socket, &Task::Start(request), fds)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl AsFd for Zygote {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Zygote {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // Supervisors are sessions of their own; the zygote itself has nothing to put in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Becomes the zygote, and never returns, if the program was started by that name.
pub(crate) fn run_if_asked() {
    let is_zygote = std::env::args_os().next().as_deref() == Some(OsStr::new(NAME));
    if is_zygote {
        let code = if std::env::args_os().len() == 1 { serve() } else { 2 };
        // SAFETY: ends the process at once; a child must not run what its parent wanted run at exit.
        unsafe { libc::_exit(code) }
    }
}

fn serve() -> i32 {
    // SAFETY: descriptor 0 is the socket that `spawn` put there, and nothing else in this process owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(0) };
    // SAFETY: closes what a careless parent left open; this process has opened nothing above 2.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    // Not 0: a supervisor's container must never find the zygote's socket there.
    let Ok(moved) = rustix::io::fcntl_dupfd_cloexec(&socket, 3) else { return 1 };
    if open_null_as_stdin(socket).is_err() || set_signals().is_err() {
        return 1;
    }
    let socket = moved;
    loop {
        match receive::<Task<StartRequest>>(&socket) {
            Ok(Some(Received { message: Task::Start(request), fds })) => supervise(request, fds, &socket),
            Ok(Some(Received { message: Task::Prepare { filters }, .. })) => prepare(&filters),
            // The daemon is gone.
            Ok(None) => return 0,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(_) => return 1,
        }
    }
}

/// Puts `/dev/null` in the place of descriptor 0.
fn open_null_as_stdin(stdin: OwnedFd) -> io::Result<()> {
    let null = std::fs::File::open("/dev/null")?;
    let mut stdin = std::mem::ManuallyDrop::new(stdin);
    Ok(rustix::io::dup2(&null, &mut stdin)?)
}

/// The zygote's children are nobody's to wait for, and no signal is blocked.
fn set_signals() -> nix::Result<()> {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::SA_NOCLDWAIT, SigSet::empty());
    // SAFETY: installs no handler function.
    unsafe { sigaction(Signal::SIGCHLD, &ignore) }?;
    Ok(())
}

/// Finds out what every supervisor would. What fails here fails there again, and is told there.
fn prepare(filters: &[LinuxSeccomp]) {
    for filter in filters {
        let _ = crate::seccomp::compile(filter);
    }
    let _ = crate::cgroup::Layout::get();
}

fn supervise(request: StartRequest, fds: Vec<OwnedFd>, zygote_socket: &OwnedFd) {
    // SAFETY: this process has one thread, so the child may do whatever the parent could.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => {
            // SAFETY: the child's copy of the descriptor; its owner lives in a frame that never runs again.
            unsafe { libc::close(zygote_socket.as_raw_fd()) };
            run::supervise(request, fds);
            // SAFETY: ends the process at once, without the zygote's destructors.
            unsafe { libc::_exit(0) }
        }
        -1 => {
            let error = io::Error::last_os_error();
            let reply =
                super::Reply::Failed { message: format!("no process for the supervisor: {error}"), exit_code: 125 };
            if let Some(connection) = fds.first() {
                let _ = send(connection, &reply, &[]);
            }
        }
        _ => {}
    }
}
