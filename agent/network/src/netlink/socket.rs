//! A netlink socket: sends a batch, reads the answers, reads dumps.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::attributes::attributes;

const HEADER: usize = 16;
/// The kernel fills blocks of at most 32 KiB with what it lists.
const DUMP: usize = 32 * 1024;
/// An acknowledgement is a number, a header, and sometimes a sentence.
const ACKNOWLEDGEMENT: usize = 4 * 1024;
/// Room for the whole of a large firewall change in one send.
const SEND_BUFFER: usize = 8 << 20;

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Route,
    Netfilter,
    Generic,
}

/// The kernel's "no" to one request of a batch.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    /// The kernel's own words, where it has any.
    pub(crate) words: Option<String>,
}

impl Refusal {
    fn from_io(errno: Errno) -> Self {
        Self { errno, words: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.words {
            Some(words) => write!(f, "{} ({words})", self.errno.desc()),
            None => f.write_str(self.errno.desc()),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal.words {
            None => refusal.errno.into(),
            Some(_) => Self::new(Self::from(refusal.errno).kind(), refusal),
        }
    }
}

/// Requests that are sent together.
///
/// The kernel works through them in order. In rtnetlink each stands for itself; in nfnetlink a
/// batch with begin and end marks takes effect as a whole or not at all.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Appends a request; `body` writes what follows the netlink header.
    pub(crate) fn push(&mut self, kind: u16, flags: i32, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.starts.push(start);
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST).expect("netlink flags have 16 bits");
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        body(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start).expect("a request is far smaller than 4 GiB");
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Makes the kernel answer this request also when it succeeds.
    fn acknowledge(&mut self, index: usize) {
        if let Some(start) = self.starts.get(index)
            && let Some(flags) = self.bytes.get_mut(start + 6..start + 8)
        {
            let with = u16::from_ne_bytes([flags[0], flags[1]]) | libc::NLM_F_ACK as u16;
            flags.copy_from_slice(&with.to_ne_bytes());
        }
    }

    fn number(&mut self, first: u32) {
        for (start, sequence) in self.starts.iter().zip(first..) {
            self.bytes[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
        }
    }
}

/// One message from the kernel.
struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<HEADER>()?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let body = bytes.get(HEADER..length)?;
        let message = Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
            body,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// A netlink socket. It belongs to the network namespace in which it was opened, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Socket {
    pub(crate) fn open(family: Family) -> io::Result<Self> {
        let protocol = match family {
            Family::Route => SockProtocol::NetlinkRoute,
            Family::Netfilter => SockProtocol::NetlinkNetFilter,
            Family::Generic => SockProtocol::NetlinkGeneric,
        };
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        // Kernels before 4.12 and 4.20 lack these options; then errors have no words and dumps no filters.
        for option in [libc::NETLINK_CAP_ACK, libc::NETLINK_EXT_ACK, libc::NETLINK_GET_STRICT_CHK] {
            let one: libc::c_int = 1;
            // SAFETY: the value is an int that lives over the call, and its size is given.
            unsafe {
                libc::setsockopt(
                    fd.as_raw_fd(),
                    libc::SOL_NETLINK,
                    option,
                    (&raw const one).cast(),
                    size_of::<libc::c_int>() as libc::socklen_t,
                )
            };
        }
        if family == Family::Netfilter && setsockopt(&fd, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
            // Without the capability the kernel's limit applies; only very large changes need more.
            let _ = setsockopt(&fd, sockopt::SndBuf, &SEND_BUFFER);
        }
        // Answers are there when the send returns. The limit only keeps a kernel bug from hanging us.
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(10))?;
        Ok(Self { fd, sequence: 1 })
    }

    /// Sends all requests and waits until the kernel has dealt with the last.
    ///
    /// # Errors
    /// The index of the first request that was refused, and why. Those behind it have been tried too.
    pub(crate) fn send(&mut self, batch: Batch) -> Result<(), (usize, Refusal)> {
        let last = batch.starts.len().saturating_sub(1);
        self.send_answered(batch, last)
    }

    /// As [`send`](Self::send), with the answer asked for at the request `answered`: in an nfnetlink
    /// batch the end mark is never answered.
    pub(crate) fn send_answered(&mut self, mut batch: Batch, answered: usize) -> Result<(), (usize, Refusal)> {
        if batch.is_empty() {
            return Ok(());
        }
        batch.acknowledge(answered);
        let first = self.transmit(&mut batch).map_err(|e| (0, Refusal::from_io(e)))?;
        let until = first.wrapping_add(answered as u32);
        let mut buffer = [0; ACKNOWLEDGEMENT];
        let mut refused = None;
        let mut flags = MsgFlags::empty();
        loop {
            let read = match recv(self.fd.as_raw_fd(), &mut buffer, flags) {
                Ok(read) => read,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) if refused.is_some() => break,
                Err(errno) => return Err((answered, Refusal::from_io(errno))),
            };
            let mut done = false;
            for message in messages(&buffer[..read]) {
                let index = message.sequence.wrapping_sub(first) as usize;
                if message.kind != libc::NLMSG_ERROR as u16 || index >= batch.starts.len() {
                    continue;
                }
                if let Some(refusal) = refusal(&message) {
                    refused.get_or_insert((index, refusal));
                    // The kernel has finished; the rest of its answers lies ready, without a last one to wait for.
                    flags = MsgFlags::MSG_DONTWAIT;
                }
                done |= message.sequence == until;
            }
            if done && refused.is_none() {
                return Ok(());
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Sends one request and gives every answer's type and body to `each`.
    pub(crate) fn dump(
        &mut self,
        kind: u16,
        flags: i32,
        body: impl FnOnce(&mut Vec<u8>),
        mut each: impl FnMut(u16, &[u8]),
    ) -> Result<(), Refusal> {
        let mut batch = Batch::default();
        batch.push(kind, flags, body);
        if flags & libc::NLM_F_DUMP != libc::NLM_F_DUMP {
            batch.acknowledge(0);
        }
        let sequence = self.transmit(&mut batch).map_err(Refusal::from_io)?;
        let mut buffer = vec![0; DUMP];
        loop {
            let read = match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(read) => read,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(Refusal::from_io(errno)),
            };
            for message in messages(&buffer[..read]) {
                if message.sequence != sequence {
                    continue;
                }
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => return refusal(&message).map_or(Ok(()), Err),
                    _ => each(message.kind, message.body),
                }
            }
        }
    }

    /// Numbers the requests, sends them and returns the first number.
    fn transmit(&mut self, batch: &mut Batch) -> Result<u32, Errno> {
        let first = self.sequence;
        batch.number(first);
        self.sequence = first.wrapping_add(batch.starts.len() as u32);
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.fd.as_raw_fd(), &batch.bytes, &kernel, MsgFlags::empty())?;
        Ok(first)
    }
}

/// The refusal in an answer (netlink(7)): a negative error number, then the request's header, and with
/// extended answers attributes, of which the first is text.
fn refusal(message: &Message<'_>) -> Option<Refusal> {
    const MESSAGE: u16 = 1;
    const HAS_ATTRIBUTES: u16 = 0x200;
    let code = i32::from_ne_bytes(message.body.first_chunk().copied()?);
    if code == 0 {
        return None;
    }
    let rest = message.body.get(4 + HEADER..).filter(|_| message.flags & HAS_ATTRIBUTES != 0).unwrap_or_default();
    let words = attributes(rest)
        .find(|(kind, _)| *kind == MESSAGE)
        .map(|(_, text)| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
    Some(Refusal { errno: Errno::from_raw(-code), words })
}
