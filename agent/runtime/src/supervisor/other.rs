//! Containers that another OCI runtime makes, by its command line: `create`, `start`, `exec`, `kill`, `delete`.
//!
//! The supervisor stays what it is for containers of our own: it owns the streams, writes the log and takes the exit
//! code. For that it is the one to whom the kernel gives the container's first process and the execs, once the
//! runtime's commands have ended (`PR_SET_CHILD_SUBREAPER`).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use oci_spec::runtime::Process;
use rustix::event::{PollFd, PollFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use super::protocol::OtherRuntime;
use crate::cgroup::Layout;
use crate::launch::{LaunchError, Launched, Rootfs, Stdio};
use crate::mounts::{root, source};
use crate::sys;

/// What the runtime knows of the container, in the run directory; so it goes with it.
const STATE: &str = "oci";
const LOG: &str = "runtime.log";
const PID: &str = "runtime.pid";
const PROCESS: &str = "runtime-process.json";
const CONSOLE: &str = "console.sock";
/// No command of a runtime takes so long; one that hangs must not hang the container's streams for ever.
const PATIENCE: Duration = Duration::from_secs(120);
/// What is read of a runtime's own log.
const LOG_MAX: u64 = 64 << 10;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const UNIFIED: &std::ffi::CStr = c"/sys/fs/cgroup/unified";

/// A container of another runtime. Paths are relative to the run directory, which is the working directory.
pub(super) struct Other {
    runtime: OtherRuntime,
    id: String,
    run_dir: PathBuf,
    hide_unified: bool,
}

impl Other {
    pub(super) fn new(runtime: &OtherRuntime, id: &str, run_dir: &Path) -> Self {
        Self {
            hide_unified: needs_hidden_unified(&runtime.program),
            runtime: runtime.clone(),
            id: id.to_owned(),
            run_dir: run_dir.to_owned(),
        }
    }

    /// Makes the container and starts its command.
    pub(super) fn launch(&self, rootfs: &Rootfs, place: &Path, stdio: Stdio) -> Result<Launched, LaunchError> {
        sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0).map_err(step("becoming the reaper of the container"))?;
        self.mount(rootfs, place)?;
        let bundle = self.run_dir.as_os_str();
        let launched = self
            .start_process(stdio, &[OsStr::new("create"), OsStr::new("--bundle"), bundle])
            .and_then(|launched| self.plain(&[OsStr::new("start"), self.id()]).map(|()| launched));
        if launched.is_err() {
            self.delete(place);
        }
        launched
    }

    /// Starts a further process.
    pub(super) fn exec(&self, process: &Process, stdio: Stdio) -> Result<Launched, LaunchError> {
        let text = serde_json::to_vec(process).map_err(io::Error::from);
        let written = text.and_then(|text| write_private(PROCESS, &text));
        written.map_err(step("writing down the process"))?;
        let verb = [OsStr::new("exec"), OsStr::new("--detach"), OsStr::new("--process"), OsStr::new(PROCESS)];
        let launched = self.start_process(stdio, &verb);
        // Its environment may be secret.
        let _ = std::fs::remove_file(PROCESS);
        launched
    }

    /// Sends a signal to the first process.
    pub(super) fn signal(&self, signal: i32) -> io::Result<()> {
        let number = OsString::from(signal.to_string());
        self.plain(&[OsStr::new("kill"), self.id(), &number]).map_err(io::Error::other)
    }

    /// Stops all processes where they are, or lets them go on.
    pub(super) fn freeze(&self, frozen: bool) -> io::Result<()> {
        let verb = if frozen { "pause" } else { "resume" };
        self.plain(&[OsStr::new(verb), self.id()]).map_err(io::Error::other)
    }

    /// Takes back what the container had, and its root file system.
    pub(super) fn delete(&self, place: &Path) {
        let _ = self.plain(&[OsStr::new("delete"), OsStr::new("--force"), self.id()]);
        let _ = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
    }

    fn id(&self) -> &OsStr {
        OsStr::new(&self.id)
    }

    /// A runtime takes a directory for the root file system, so it is mounted where all can see it.
    fn mount(&self, rootfs: &Rootfs, place: &Path) -> Result<(), LaunchError> {
        let opened = source::open_root(rootfs, true)?;
        root::attach(opened, place, None)?;
        // An old kernel's way to mount an overlay moves the working directory.
        rustix::process::chdir(&self.run_dir).map_err(|error| step("entering the run directory")(error.into()))
    }

    /// Runs `create` or `exec`, whose process goes on when the command has ended.
    fn start_process(&self, stdio: Stdio, verb: &[&OsStr]) -> Result<Launched, LaunchError> {
        let _ = std::fs::remove_file(PID);
        let mut args: Vec<&OsStr> = verb.to_vec();
        args.extend([OsStr::new("--pid-file"), OsStr::new(PID)]);
        let mut console = None;
        let streams = match stdio {
            Stdio::Streams { stdin, stdout, stderr } => Some([stdin, stdout, stderr]),
            Stdio::Terminal { size } => {
                args.extend([OsStr::new("--console-socket"), OsStr::new(CONSOLE)]);
                let listener = listen().map_err(step("making a socket for the terminal"))?;
                console = Some((listener, size));
                None
            }
            Stdio::Inherit => return Err(LaunchError::Invalid("another runtime needs streams of its own".into())),
        };
        args.push(self.id());
        let result = self.run(&args, streams);
        let terminal = console.map(|(listener, size)| {
            let terminal = result.is_ok().then(|| take_terminal(&listener, size));
            let _ = std::fs::remove_file(CONSOLE);
            terminal
        });
        result?;
        let terminal = terminal.flatten().transpose().map_err(step("taking the terminal from the runtime"))?;
        let pid = read_pid().map_err(step("reading the process id that the runtime wrote"))?;
        let pidfd = sys::pidfd_open(pid).map_err(step("reaching the runtime's process"))?;
        Ok(Launched { pid, pidfd, terminal })
    }

    fn plain(&self, args: &[&OsStr]) -> Result<(), LaunchError> {
        self.run(args, None)
    }

    /// One command of the runtime; an error has the runtime's own words.
    fn run(&self, args: &[&OsStr], streams: Option<[OwnedFd; 3]>) -> Result<(), LaunchError> {
        let _ = std::fs::remove_file(self.run_dir.join(LOG));
        let mut command = Command::new(&self.runtime.program);
        command
            .args(["--root", STATE, "--log", LOG, "--log-format", "json"])
            .args(&self.runtime.args)
            .args(args)
            .env_clear()
            .env("PATH", PATH)
            .current_dir(&self.run_dir);
        match streams {
            Some([stdin, stdout, stderr]) => command.stdin(stdin).stdout(stdout).stderr(stderr),
            None => {
                let null = std::process::Stdio::null;
                command.stdin(null()).stdout(null()).stderr(null())
            }
        };
        if self.hide_unified {
            // SAFETY: the closure makes system calls only.
            unsafe { command.pre_exec(hide_unified) };
        }
        let program = self.runtime.program.display();
        let mut child = command.spawn().map_err(step(&format!("running the runtime {program}")))?;
        // The command has its own copies of the streams, and ours would keep pipes open.
        drop(command);
        let status = wait(&mut child).map_err(step(&format!("waiting for the runtime {program}")))?;
        if status.success() {
            return Ok(());
        }
        let verb = args.first().map(|verb| verb.to_string_lossy()).unwrap_or_default();
        let message = last_error(&self.run_dir.join(LOG))
            .unwrap_or_else(|| format!("{verb} ended with {status} and without a word"));
        let name = self.runtime.program.file_name().unwrap_or(self.runtime.program.as_os_str());
        Err(LaunchError::Runtime {
            runtime: name.to_string_lossy().into_owned(),
            exit_code: code_of(&message),
            message,
        })
    }
}

/// What a container of another runtime has left whose supervisor did not live to see its end.
pub fn remove_remains(runtime: &OtherRuntime, id: &str, run_dir: &Path) {
    if run_dir.join(STATE).join(id).exists() {
        let other = Other::new(runtime, id, run_dir);
        let _ = other.plain(&[OsStr::new("delete"), OsStr::new("--force"), other.id()]);
    }
}

/// Reaps processes that came to the supervisor when their parents ended, but for `ours`, whose exit codes matter.
pub(super) fn reap_orphans(ours: &[i32]) {
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Ok(status) = waitid(Id::All, look) {
        match status {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _) if !ours.contains(&pid.as_raw()) => {
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            }
            // One of ours is taken in its turn, and those behind it after that.
            _ => return,
        }
    }
}

fn step(what: &str) -> impl FnOnce(io::Error) -> LaunchError {
    let what = what.to_owned();
    move |source| LaunchError::Step { what, source }
}

/// crun refuses a host that has version 1 of cgroups and controllers in the unified hierarchy beside them, although it
/// would be content with version 1 alone.
fn needs_hidden_unified(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "crun")
        && Layout::get().is_ok_and(|layout| {
            layout.pure_v2().is_none() && layout.v2().is_some_and(|v2| v2.root().ends_with("unified"))
        })
}

/// Takes the unified hierarchy out of the sight of this process and those that it starts.
fn hide_unified() -> io::Result<()> {
    sys::unshare(libc::CLONE_NEWNS as u64)?;
    sys::set_propagation(c"/", libc::MS_SLAVE | libc::MS_REC)?;
    Ok(rustix::mount::unmount(UNIFIED, rustix::mount::UnmountFlags::DETACH)?)
}

fn write_private(path: &str, content: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)
}

fn read_pid() -> io::Result<i32> {
    let text = std::fs::read_to_string(PID)?;
    text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is no process id")))
}

/// Waits for a command, and ends one that takes too long.
fn wait(child: &mut std::process::Child) -> io::Result<std::process::ExitStatus> {
    let pidfd = sys::pidfd_open(child.id().cast_signed())?;
    let end = Instant::now() + PATIENCE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let time = rustix::time::Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&time)) {
            Ok(0) => {
                child.kill()?;
                child.wait()?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(_) => return child.wait(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The last thing that the runtime called an error.
fn last_error(log: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(log).ok()?.take(LOG_MAX).read_to_string(&mut text).ok()?;
    let entry = |line: &str| -> Option<(bool, String)> {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        let grave = matches!(value["level"].as_str(), Some("error" | "fatal" | "panic"));
        Some((grave, value["msg"].as_str()?.to_owned()))
    };
    let entries: Vec<(bool, String)> = text.lines().filter_map(entry).collect();
    entries.iter().rev().find(|(grave, _)| *grave).or(entries.last()).map(|(_, message)| message.clone())
}

/// 127 or 126 where the words are those of a command that is missing or cannot be executed, as Docker reads them.
fn code_of(message: &str) -> i32 {
    let message = message.to_ascii_lowercase();
    if message.contains("executable file") && message.contains("not found")
        || message.contains("exec") && message.contains("no such file or directory")
    {
        127
    } else if message.contains("permission denied")
        || ["open executable", "is a directory"].iter().any(|words| message.contains(words))
    {
        126
    } else {
        125
    }
}

/// Where the runtime is to send the master of the terminal.
fn listen() -> io::Result<OwnedFd> {
    let _ = std::fs::remove_file(CONSOLE);
    let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&listener, &SocketAddrUnix::new(CONSOLE)?)?;
    rustix::net::listen(&listener, 1)?;
    rustix::io::ioctl_fionbio(&listener, true)?;
    Ok(listener)
}

/// The command has ended, so what it sent waits already.
fn take_terminal(listener: &OwnedFd, size: Option<crate::launch::TerminalSize>) -> io::Result<OwnedFd> {
    let socket = rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let mut name = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let terminal = fds.next().and_then(|mut fds| fds.next());
    let terminal = terminal.ok_or_else(|| io::Error::other("the runtime sent no terminal"))?;
    if let Some(size) = size {
        let size = rustix::termios::Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(terminal.as_fd(), size)?;
    }
    Ok(terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_runtimes_become_exit_codes() {
        for (message, code) in [
            (
                r#"runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH"#,
                127,
            ),
            ("executable file `nope` not found in $PATH: No such file or directory", 127),
            (r#"exec: "/no/such": stat /no/such: no such file or directory"#, 127),
            (r#"exec: "/etc/passwd": permission denied"#, 126),
            ("open executable: Operation not permitted", 126),
            ("cgroups: cannot find cgroup mount destination", 125),
        ] {
            assert_eq!(code_of(message), code, "{message}");
        }
    }
}
