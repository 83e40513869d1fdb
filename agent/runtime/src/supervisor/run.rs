//! A supervisor's life: launch, look after, and tell how it ended.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::execs::{Exec, Target, failed, own_pipes, reap, send_signal};
use super::logfile::LogFile;
use super::other::{Other, reap_orphans};
use super::output::{Part, Streaming};
use super::protocol::{Exit, Received, Reply, Request, RootfsSpec, StartRequest, receive, send};
use super::sender;
use super::{EXIT_FILE, SOCKET, SPEC_FILE};
use crate::cgroup::{Cgroup, CgroupPath};
use crate::checkpoint::{Restore, restore};
use crate::launch::{Launch, LaunchError, Launched, Rootfs, Stdio, launch};

/// How long a container that has ended waits for the server that takes its lines.
const SENDERS_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Becomes the supervisor of one container; returns when there is nothing left to do. `fds` are as
/// [`StartRequest`] says.
pub(super) fn supervise(request: StartRequest, mut fds: Vec<OwnedFd>) {
    if fds.is_empty() {
        return;
    }
    let first = fds.remove(0);
    let prepared = settle(&request.run_dir)
        .and_then(|listener| Ok((listener, request.log.clone().map(LogFile::open).transpose()?)))
        .and_then(|(listener, log)| {
            let mut streaming = Streaming::new(log, request.open_stdin, request.stdin_once);
            for (socket, wants) in fds.into_iter().zip(&request.attach) {
                streaming.add_client(socket, *wants)?;
            }
            if let Some(send) = &request.send {
                streaming.add_sender(sender::start(send.target.clone())?, send.buffer)?;
            }
            Ok((listener, streaming))
        });
    let (listener, mut streaming) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let _ = send(
                &first,
                &Reply::Failed { message: format!("cannot prepare the container's streams: {error}"), exit_code: 125 },
                &[],
            );
            return;
        }
    };
    let other = request.runtime.as_ref().map(|runtime| Other::new(runtime, &request.id, &request.run_dir));
    let (launched, cgroup) = match start(&request, other.as_ref(), &mut streaming) {
        Ok(started) => started,
        Err(error) => {
            let _ = std::fs::remove_file(SOCKET);
            let _ = send(&first, &failed(&error), &[]);
            return;
        }
    };
    let started_at = Timestamp::now();
    let _ = send(&first, &Reply::Started { pid: launched.pid, at: started_at }, &[]);
    trim_memory();
    // Where the kernel offers no watch (no memory controller) nothing is ever killed by it.
    let oom = Cgroup::open(&cgroup).and_then(|cgroup| cgroup.oom_watch()).ok();
    let mut supervisor = Supervisor {
        pid: launched.pid,
        pidfd: launched.pidfd,
        started_at,
        cgroup,
        other: other.map(|other| (other, request.bundle)),
        oom,
        oom_kills: 0,
        listener,
        connections: vec![Connection { socket: first, role: Role::Watches, gone: false }],
        streaming,
    };
    supervisor.look_after();
}

/// A session, a working directory and a socket of its own.
fn settle(run_dir: &Path) -> io::Result<OwnedFd> {
    rustix::process::setsid()?;
    set_signals()?;
    let _ = rustix::thread::set_name(c"hoist-super");
    // The socket's address has room for 107 bytes only, so the rest of its path must be the working directory.
    rustix::process::chdir(run_dir)?;
    let listener = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    let _ = std::fs::remove_file(EXIT_FILE);
    let _ = std::fs::remove_file(SOCKET);
    rustix::net::bind(&listener, &SocketAddrUnix::new(SOCKET)?)?;
    rustix::net::listen(&listener, 64)?;
    Ok(listener)
}

/// What ends other programs must not end this one: it goes when its container has gone. The handlers do nothing, and
/// unlike ignored signals they are not inherited by the container.
fn set_signals() -> io::Result<()> {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    extern "C" fn nothing(_: libc::c_int) {}
    let handler = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGPIPE] {
        // SAFETY: the handler does nothing, so it may run anywhere.
        unsafe { sigaction(signal, &handler) }?;
    }
    // SAFETY: installs no handler function.
    unsafe { sigaction(Signal::SIGCHLD, &default) }?;
    Ok(())
}

/// Orphans that another runtime leaves to us wake us when they end: a handler that does nothing interrupts `poll`.
fn watch_children() -> io::Result<()> {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    extern "C" fn nothing(_: libc::c_int) {}
    let handler = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing, so it may run anywhere.
    unsafe { sigaction(Signal::SIGCHLD, &handler) }?;
    Ok(())
}

/// Gives memory that starting needed back to the kernel.
fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: this process has one thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn start(
    request: &StartRequest,
    other: Option<&Other>,
    streaming: &mut Streaming,
) -> Result<(Launched, CgroupPath), LaunchError> {
    let step = |what: &str| {
        let what = what.to_owned();
        move |source: io::Error| LaunchError::Step { what, source }
    };
    let spec = load_spec().map_err(step("reading the container's spec"))?;
    let cgroup = CgroupPath::new(&request.cgroup).map_err(|error| LaunchError::Invalid(error.to_string()))?;
    let pipe = || io::pipe().map(|(r, w)| (OwnedFd::from(r), OwnedFd::from(w))).map_err(step("making a pipe"));
    let mut ours = None;
    let stdio = if request.tty {
        Stdio::Terminal { size: request.size.map(Into::into) }
    } else {
        let (stdin, feed) = if request.open_stdin {
            let (read, write) = pipe()?;
            (read, Some(write))
        } else {
            (File::open("/dev/null").map_err(step("opening /dev/null"))?.into(), None)
        };
        let (out_read, stdout) = pipe()?;
        let (err_read, stderr) = pipe()?;
        if let Some(process) = spec.process() {
            own_pipes(process, [&stdin, &stdout, &stderr]);
        }
        ours = Some((feed, out_read, err_read));
        Stdio::Streams { stdin, stdout, stderr }
    };
    let rootfs = match &request.rootfs {
        RootfsSpec::Path(path) => Rootfs::Path(path.clone()),
        RootfsSpec::Overlay { lower, upper, work, volatile } => {
            Rootfs::Overlay { lower: lower.clone(), upper: upper.clone(), work: work.clone(), volatile: *volatile }
        }
    };
    let mut launched = match (other, &request.restore) {
        (Some(other), _) => {
            watch_children().map_err(step("setting signals"))?;
            other.launch(&rootfs, &request.bundle, stdio)?
        }
        (None, Some(from)) => {
            let Stdio::Streams { stdin, stdout, stderr } = stdio else {
                return Err(LaunchError::Invalid("a container with a terminal cannot be restored".into()));
            };
            restore(
                &from.criu,
                Restore {
                    id: &request.id,
                    spec: &spec,
                    bundle: &request.bundle,
                    rootfs,
                    images: &from.images,
                    log: &from.log,
                    streams: [stdin, stdout, stderr],
                    cgroup: &cgroup,
                },
            )?
        }
        (None, None) => launch(Launch {
            id: &request.id,
            spec: &spec,
            bundle: &request.bundle,
            rootfs,
            stdio,
            cgroup: cgroup.clone(),
            init: request.init,
            mounts: Vec::new(),
            pass_fds: Vec::new(),
        })?,
    };
    let connected = match (launched.terminal.take(), ours) {
        (Some(terminal), _) => streaming.set_terminal(terminal),
        (None, Some((stdin, stdout, stderr))) => streaming.set_pipes(stdin, stdout, stderr),
        (None, None) => Err(io::Error::other("the runtime gave no terminal")),
    };
    if let Err(source) = connected {
        let _ = send_signal(&launched.pidfd, libc::SIGKILL);
        if let Some(other) = other {
            other.delete(&request.bundle);
        }
        return Err(LaunchError::Step { what: "connecting the container's streams".into(), source });
    }
    Ok((launched, cgroup))
}

fn load_spec() -> io::Result<Spec> {
    Ok(serde_json::from_slice(&std::fs::read(SPEC_FILE)?)?)
}

struct Supervisor {
    pid: i32,
    pidfd: OwnedFd,
    started_at: Timestamp,
    cgroup: CgroupPath,
    /// Who made the container, if not we, and where its root file system is mounted.
    other: Option<(Other, PathBuf)>,
    oom: Option<OwnedFd>,
    oom_kills: u64,
    listener: OwnedFd,
    connections: Vec<Connection>,
    streaming: Streaming,
}

struct Connection {
    socket: OwnedFd,
    role: Role,
    gone: bool,
}

enum Role {
    /// Nothing yet.
    New,
    Watches,
    WatchesLog,
    Runs(Exec),
}

/// A descriptor that is waited for.
#[derive(Clone, Copy)]
enum Source {
    Init,
    Oom,
    Listener,
    Connection(usize),
    Exec(usize),
    Stream(Part),
}

impl Supervisor {
    fn look_after(&mut self) {
        let exit = loop {
            for (source, flags) in self.wait(true, None) {
                match source {
                    Source::Init => {}
                    Source::Oom => self.notice_oom(),
                    Source::Listener => self.accept(),
                    Source::Connection(index) => self.serve(index),
                    Source::Exec(index) => self.reap_exec(index),
                    Source::Stream(part) => self.streaming.ready(part, flags),
                }
            }
            self.sweep();
            if let Some(exit) = reap(self.pid, self.started_at) {
                break exit;
            }
            if self.other.is_some() {
                self.reap_orphans();
            }
        };
        self.finish(exit);
    }

    /// Waits until something happens, and says what. After the container's end only clients matter.
    fn wait(&self, alive: bool, limit: Option<std::time::Duration>) -> Vec<(Source, PollFlags)> {
        let mut sources = Vec::new();
        let mut polls = Vec::new();
        let mut add = |source, fd, flags| {
            sources.push(source);
            polls.push(PollFd::from_borrowed_fd(fd, flags));
        };
        for (part, fd, flags) in self.streaming.polls() {
            add(Source::Stream(part), fd, flags);
        }
        if alive {
            add(Source::Init, self.pidfd.as_fd(), PollFlags::IN);
            add(Source::Listener, self.listener.as_fd(), PollFlags::IN);
            if let Some(oom) = &self.oom {
                add(Source::Oom, oom.as_fd(), PollFlags::IN | PollFlags::PRI);
            }
            for (index, connection) in self.connections.iter().enumerate() {
                add(Source::Connection(index), connection.socket.as_fd(), PollFlags::IN);
                if let Role::Runs(exec) = &connection.role {
                    add(Source::Exec(index), exec.pidfd(), PollFlags::IN);
                }
            }
        }
        let limit = limit.map(|limit| rustix::time::Timespec {
            tv_sec: limit.as_secs().cast_signed(),
            tv_nsec: limit.subsec_nanos().into(),
        });
        if rustix::event::poll(&mut polls, limit.as_ref()).is_err() {
            return Vec::new();
        }
        sources.into_iter().zip(polls.iter().map(PollFd::revents)).filter(|(_, flags)| !flags.is_empty()).collect()
    }

    fn sweep(&mut self) {
        self.streaming.sweep();
        if self.streaming.take_grown() {
            for connection in &mut self.connections {
                // One that has not yet read the last one knows already.
                if matches!(connection.role, Role::WatchesLog) {
                    let _ = send(&connection.socket, &Reply::Grown, &[]);
                }
            }
        }
        // Whoever started an exec may go; the exec goes on, and is reaped.
        self.connections.retain(|connection| !connection.gone || matches!(connection.role, Role::Runs(_)));
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
            self.connections.push(Connection { socket, role: Role::New, gone: false });
        }
    }

    fn serve(&mut self, index: usize) {
        if self.connections[index].gone {
            return;
        }
        match receive::<Request>(&self.connections[index].socket) {
            Ok(Some(received)) => self.answer(index, received),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(None) | Err(_) => {
                self.connections[index].gone = true;
                // A descriptor that says "closed" all the time must not be polled.
                if let Ok(null) = File::open("/dev/null")
                    && let Role::Runs(_) = self.connections[index].role
                {
                    self.connections[index].socket = epoll_never().unwrap_or_else(|_| null.into());
                }
            }
        }
    }

    fn answer(&mut self, index: usize, received: Received<Request>) {
        let Received { message, mut fds } = received;
        let done = |result: io::Result<()>| match result {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Refused { message: error.to_string() },
        };
        let reply = match message {
            Request::Watch => {
                self.connections[index].role = Role::Watches;
                Reply::Started { pid: self.pid, at: self.started_at }
            }
            Request::WatchLog => {
                self.connections[index].role = Role::WatchesLog;
                Reply::Done
            }
            Request::Attach(wants) => match fds.pop() {
                Some(socket) => done(self.streaming.add_client(socket, wants)),
                None => Reply::Refused { message: "the client's socket is missing".into() },
            },
            Request::Streams => Reply::Streams { inodes: self.streaming.inodes() },
            Request::Resize(size) => done(self.streaming.resize(size)),
            Request::Signal { signal } => match &self.connections[index].role {
                Role::Runs(exec) => done(exec.signal(signal)),
                _ => done(match &self.other {
                    Some((other, _)) => other.signal(signal),
                    None => send_signal(&self.pidfd, signal),
                }),
            },
            Request::Freeze { frozen } => match &self.other {
                Some((other, _)) => done(other.freeze(frozen)),
                None => Reply::Refused { message: "the container is not another runtime's".into() },
            },
            Request::Exec { process, tty, size } => {
                let spec = match load_spec() {
                    Ok(spec) => spec,
                    Err(error) => {
                        let message = format!("reading the container's spec: {error}");
                        let reply = Reply::Failed { message, exit_code: 125 };
                        let _ = send(&self.connections[index].socket, &reply, &[]);
                        return;
                    }
                };
                let target = Target {
                    init: self.pid,
                    spec: &spec,
                    cgroup: &self.cgroup,
                    other: self.other.as_ref().map(|(other, _)| other),
                };
                let connection = &mut self.connections[index];
                if let Some(exec) = Exec::start(&connection.socket, &target, &process, tty.then_some(size), fds) {
                    connection.role = Role::Runs(exec);
                }
                drop(spec);
                trim_memory();
                return;
            }
        };
        let _ = send(&self.connections[index].socket, &reply, &[]);
    }

    fn reap_exec(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if let Role::Runs(exec) = &connection.role
            && let Some(exit) = exec.reap()
        {
            let _ = send(&connection.socket, &Reply::Exited(exit), &[]);
            connection.role = Role::New;
        }
    }

    fn reap_orphans(&self) {
        let execs = self.connections.iter().filter_map(|connection| match &connection.role {
            Role::Runs(exec) => Some(exec.pid()),
            _ => None,
        });
        reap_orphans(&std::iter::once(self.pid).chain(execs).collect::<Vec<_>>());
    }

    fn notice_oom(&mut self) {
        let mut count = [0; 8];
        if let Some(oom) = &self.oom {
            // On v1 the descriptor is an event counter; on v2 reading it re-arms the watch.
            let _ = rustix::io::read(oom, &mut count);
        }
        let kills = Cgroup::open(&self.cgroup).and_then(|cgroup| cgroup.oom_kills()).unwrap_or(self.oom_kills);
        if kills > self.oom_kills {
            self.oom_kills = kills;
            self.tell(&Reply::Oom);
        } else if self.oom.is_some() && u64::from_ne_bytes(count) == 0 {
            // A watch that fires for other reasons, and cannot be re-armed, would keep us busy.
            self.oom = None;
        }
    }

    fn tell(&self, reply: &Reply) {
        for connection in &self.connections {
            if matches!(connection.role, Role::Watches) {
                let _ = send(&connection.socket, reply, &[]);
            }
        }
    }

    /// The first process has ended, and has been reaped.
    fn finish(&mut self, mut exit: Exit) {
        let cgroup = Cgroup::open(&self.cgroup).ok();
        if let Some(cgroup) = &cgroup {
            // In a pid namespace of its own all have ended with the first; elsewhere they have not.
            let _ = cgroup.kill_all(libc::SIGKILL);
            exit.oom_killed = self.oom_kills > 0 || cgroup.oom_kills().unwrap_or(0) > 0;
        }
        self.streaming.drain();
        self.sweep();
        if let Some((other, place)) = &self.other {
            other.delete(place);
        }
        let _ = write_exit(&exit);
        for connection in &mut self.connections {
            let Role::Runs(exec) = &connection.role else { continue };
            // Killed by the kernel or by us a moment ago, so this waits for no person.
            let mut ended = [PollFd::from_borrowed_fd(exec.pidfd(), PollFlags::IN)];
            while rustix::event::poll(&mut ended, None) == Err(rustix::io::Errno::INTR) {}
            if let Some(exit) = exec.reap() {
                let _ = send(&connection.socket, &Reply::Exited(exit), &[]);
            }
        }
        let _ = std::fs::remove_file(SOCKET);
        self.tell(&Reply::Exited(exit));
        self.connections.clear();
        let end = std::time::Instant::now() + SENDERS_PATIENCE;
        while !self.streaming.delivered() {
            // A person may read as slowly as they like. A server that takes nothing is given up.
            let left = end.saturating_duration_since(std::time::Instant::now());
            let limit = self.streaming.waits_for_senders().then_some(left);
            if limit.is_some_and(|left| left.is_zero()) {
                break;
            }
            for (source, flags) in self.wait(false, limit) {
                if let Source::Stream(part) = source {
                    self.streaming.ready(part, flags);
                }
            }
            self.sweep();
        }
    }
}

/// A descriptor that never becomes readable.
fn epoll_never() -> io::Result<OwnedFd> {
    Ok(rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC)?)
}

fn write_exit(exit: &Exit) -> io::Result<()> {
    let part = format!("{EXIT_FILE}.part");
    let mut file = File::create(&part)?;
    file.write_all(&serde_json::to_vec(exit)?)?;
    drop(file);
    std::fs::rename(part, EXIT_FILE)
}
