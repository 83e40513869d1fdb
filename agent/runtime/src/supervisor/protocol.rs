//! The messages between a daemon, the zygote and supervisors: JSON over `SOCK_SEQPACKET`, one message a packet,
//! descriptors beside it. A message that is too long for a packet travels in a file in memory.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::checkpoint::Criu;
use jiff::Timestamp;
use oci_spec::runtime::Process;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What the zygote is asked: a supervisor for one container. The first descriptor that comes with it is the
/// connection on which the supervisor answers (as on one that said [`Request::Watch`]); further ones are attach
/// streams, one for each of `attach`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartRequest {
    /// The container's id.
    pub id: String,
    /// Holds the spec; socket and exit file are made there.
    pub run_dir: PathBuf,
    /// See [`Launch::bundle`](crate::launch::Launch::bundle).
    pub bundle: PathBuf,
    /// The root file system.
    pub rootfs: RootfsSpec,
    /// The cgroup's path.
    pub cgroup: String,
    /// See [`Launch::init`](crate::launch::Launch::init).
    pub init: bool,
    /// Gives the container a terminal.
    pub tty: bool,
    /// The terminal's size.
    pub size: Option<Size>,
    /// Keeps stdin open; else it is `/dev/null`.
    pub open_stdin: bool,
    /// Closes stdin when the first client that had it goes or ends it.
    pub stdin_once: bool,
    /// Where output is written; `None` keeps nothing.
    pub log: Option<LogSettings>,
    /// Where it is sent besides.
    #[serde(default)]
    pub send: Option<SendSettings>,
    /// The wishes of those who are attached from the beginning.
    pub attach: Vec<Streams>,
    /// Makes the container instead of our own runtime.
    #[serde(default)]
    pub runtime: Option<OtherRuntime>,
    /// Makes its processes from a checkpoint instead of starting its command.
    #[serde(default)]
    pub restore: Option<RestoreFrom>,
}

/// A checkpoint that a container is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreFrom {
    /// What makes it.
    pub criu: Criu,
    /// What [`dump`](crate::checkpoint::dump) has written.
    pub images: PathBuf,
    /// Where the program's words go; its other files go beside it.
    pub log: PathBuf,
}

/// Another OCI runtime, by its command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherRuntime {
    /// Its absolute path.
    pub program: PathBuf,
    /// Given before the runtime's own command.
    pub args: Vec<String>,
}

/// Mirrors [`Rootfs`](crate::launch::Rootfs).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum RootfsSpec {
    /// A directory as it is.
    Path(PathBuf),
    /// Layers and a place to write.
    Overlay {
        /// The topmost first.
        lower: Vec<PathBuf>,
        /// What the container writes.
        upper: PathBuf,
        /// overlayfs's scratch directory.
        work: PathBuf,
        /// Nothing is written to the disk for its sake.
        #[serde(default)]
        volatile: bool,
    },
}

/// Rotation of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// The newest file; older ones get `.1`, `.2`, ….
    pub path: PathBuf,
    /// Bytes after which a new file is begun; `None` is never.
    pub max_size: Option<u64>,
    /// How many files are kept, at least one.
    pub max_files: u32,
    /// Older files are compressed, and end in `.gz`. Their headers' comment is the inode that they were read by before.
    #[serde(default)]
    pub compress: bool,
}

/// How output is sent on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendSettings {
    /// To whom.
    pub target: SendTarget,
    /// Bytes that may wait for it before output is lost; `None` has the container wait.
    pub buffer: Option<usize>,
}

/// Who takes log lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendTarget {
    /// systemd's journal.
    Journald(JournaldSettings),
    /// A syslog server.
    Syslog(SyslogSettings),
}

/// systemd's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournaldSettings {
    /// Where it listens.
    pub socket: PathBuf,
    /// Fields of all lines.
    pub fields: Vec<(String, String)>,
}

/// A syslog server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyslogSettings {
    /// Where it listens.
    pub address: SyslogAddress,
    /// How messages look.
    pub format: SyslogFormat,
    /// From 0 to 23.
    pub facility: u8,
    /// Names the sender.
    pub tag: String,
    /// This machine.
    pub host_name: String,
}

/// Where a syslog server listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyslogAddress {
    /// This machine's own, where it usually is.
    Local,
    /// A datagram socket.
    Datagram(PathBuf),
    /// A stream socket.
    Stream(PathBuf),
    /// Host and port.
    Udp(String),
    /// Host and port.
    Tcp(String),
    /// Host and port, and who may be there.
    Tls(String, SyslogTls),
}

/// How a syslog server and this machine show each other who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyslogTls {
    /// The authorities that vouch for the server; the machine's own when absent.
    pub ca: Option<PathBuf>,
    /// What this machine shows.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The server may be anybody.
    pub skip_verify: bool,
}

/// How a syslog message looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyslogFormat {
    /// As programs write to their own machine's syslog.
    Unix,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424, to the second.
    Rfc5424,
    /// RFC 5424, to the microsecond.
    Rfc5424Micro,
}

/// Rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Height.
    pub rows: u16,
    /// Width.
    pub columns: u16,
}

/// Which streams a client wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Streams {
    /// Sends input.
    pub stdin: bool,
    /// Gets output.
    pub stdout: bool,
    /// Gets errors.
    pub stderr: bool,
}

/// What a supervisor is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Tells the state and everything that happens.
    Watch,
    /// Tells (with [`Reply::Grown`]) that the log has grown, and closes the connection when it will grow no more.
    WatchLog,
    /// The stream socket that comes with it is a new client's; see [`frame`](super::frame).
    Attach(Streams),
    /// Tells which pipes the container's streams are.
    Streams,
    /// Sets the terminal's size.
    Resize(Size),
    /// Sends a signal to the first process; on a connection that started an exec, to the exec's.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// Stops all processes where they are, or lets them go on, by the other runtime that made the container.
    Freeze {
        /// Whether they stop.
        frozen: bool,
    },
    /// Starts a further process. The connection is its own from then on: it tells [`Reply::Started`] (with the
    /// terminal's master beside it) and [`Reply::Exited`]. Without a terminal, stdin, stdout and stderr come with it.
    Exec {
        /// The command.
        process: Box<Process>,
        /// Gives it a terminal.
        tty: bool,
        /// The terminal's size.
        size: Option<Size>,
    },
}

/// What a supervisor answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Reply {
    /// It was done.
    Done,
    /// It was not.
    Refused {
        /// Why.
        message: String,
    },
    /// The command runs.
    Started {
        /// As the host sees it.
        pid: i32,
        /// When.
        at: Timestamp,
    },
    /// The command could not be started.
    Failed {
        /// What failed, with its causes.
        message: String,
        /// 125, 126 or 127.
        exit_code: i32,
    },
    /// The kernel has killed one of the processes for want of memory.
    Oom,
    /// The log has grown.
    Grown,
    /// The inodes of the pipes that are stdin, stdout and stderr.
    Streams {
        /// In that order.
        inodes: [Option<u64>; 3],
    },
    /// The command has ended.
    Exited(Exit),
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code; 128 and the signal's number if a signal ended it.
    pub code: i32,
    /// The signal.
    pub signal: Option<i32>,
    /// The kernel has killed one of the processes for want of memory.
    pub oom_killed: bool,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// A message and the descriptors that came with it.
#[derive(Debug)]
pub struct Received<T> {
    /// What was said.
    pub message: T,
    /// In the order of sending.
    pub fds: Vec<OwnedFd>,
}

/// A packet must fit the default socket buffer together with the kernel's own overhead.
const INLINE_MAX: usize = 64 << 10;
/// A message in a file is no longer than this: arguments and environment of a process are limited by the kernel too.
const SPILLED_MAX: u64 = 16 << 20;
const FDS_MAX: usize = 32;
const INLINE: u8 = b'i';
const SPILLED: u8 = b's';

/// Sends one message. Fails with `WouldBlock` on a non-blocking socket whose reader is slow.
///
/// # Errors
/// Those of sendmsg(2), memfd_create(2) and write(2).
pub fn send<T: Serialize>(socket: impl AsFd, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    if json.len() <= INLINE_MAX {
        return send_raw(socket, &[IoSlice::new(&[INLINE]), IoSlice::new(&json)], fds);
    }
    let file = rustix::fs::memfd_create("message", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(file);
    file.write_all(&json)?;
    // The reader trusts the length it sees.
    rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW)?;
    let mut all = vec![file.as_fd()];
    all.extend_from_slice(fds);
    send_raw(socket, &[IoSlice::new(&[SPILLED])], &all)
}

fn send_raw(socket: impl AsFd, parts: &[IoSlice<'_>], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() > FDS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one message"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    loop {
        match rustix::net::sendmsg(&socket, parts, &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives one message; `None` when the other side has closed.
///
/// # Errors
/// Those of recvmsg(2); `InvalidData` for what is no message.
pub fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<Received<T>>> {
    let mut buffer = vec![0; INLINE_MAX + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX + 1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        match rustix::net::recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let mut fds: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    match buffer[..received.bytes].split_first() {
        None => Ok(None),
        Some((&INLINE, json)) => Ok(Some(Received { message: serde_json::from_slice(json)?, fds })),
        Some((&SPILLED, _)) if !fds.is_empty() => {
            let mut json = Vec::new();
            let mut file = File::from(fds.remove(0)).take(SPILLED_MAX);
            io::Seek::rewind(file.get_mut())?;
            file.read_to_end(&mut json)?;
            Ok(Some(Received { message: serde_json::from_slice(&json)?, fds }))
        }
        Some(_) => Err(bad("a message of unknown form")),
    }
}

/// Connects to the supervisor of the container whose run directory is `run_dir`. The connection does not block.
///
/// # Errors
/// `NotFound` or `ConnectionRefused` when there is none.
pub fn connect(run_dir: &Path) -> io::Result<OwnedFd> {
    // A socket's address has room for 107 bytes only; a path through the directory's descriptor always fits.
    let dir = rustix::fs::open(run_dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{}", std::os::fd::AsRawFd::as_raw_fd(&dir), super::SOCKET);
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path.as_str())?)?;
    Ok(socket)
}

/// How the container whose run directory is `run_dir` ended, if it did.
///
/// # Errors
/// When the file cannot be read or is not whole.
pub fn read_exit(run_dir: &Path) -> io::Result<Option<Exit>> {
    match std::fs::read(run_dir.join(super::EXIT_FILE)) {
        Ok(json) => Ok(Some(serde_json::from_slice(&json)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn messages_of_any_length_arrive_with_their_descriptors() {
        let (here, there) = pair();
        for length in [10, INLINE_MAX, 3 << 20] {
            let message = Reply::Refused { message: "x".repeat(length) };
            let (reader, mut writer) = std::io::pipe().unwrap();
            send(&here, &message, &[reader.as_fd()]).unwrap();
            drop(reader);
            let mut received = receive::<Reply>(&there).unwrap().unwrap();
            assert_eq!(received.message, message);
            assert_eq!(received.fds.len(), 1);
            writer.write_all(b"through").unwrap();
            drop(writer);
            let mut text = String::new();
            File::from(received.fds.remove(0)).read_to_string(&mut text).unwrap();
            assert_eq!(text, "through");
        }
        drop(here);
        assert!(receive::<Reply>(&there).unwrap().is_none());
    }

    #[test]
    fn nonsense_is_an_error() {
        let (here, there) = pair();
        for bytes in [&b"x"[..], b"i{", b"s"] {
            rustix::net::send(&here, bytes, SendFlags::empty()).unwrap();
            assert!(receive::<Reply>(&there).is_err());
        }
    }
}
