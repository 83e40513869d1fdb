//! A container's streams and the clients that are attached to them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::net::SendFlags;

use super::frame;
use super::logfile::LogFile;
use super::protocol::{Size, Streams};

/// How much may wait for one client. When a client has that much, the container's output is not read until it has
/// taken some: no byte is lost, and memory is bounded.
const CLIENT_MAX: usize = 256 << 10;
const READ: usize = 64 << 10;

/// A descriptor of [`Streaming`] that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// stdout (0; also the terminal) or stderr (1).
    Output(usize),
    Stdin,
    Client(usize),
}

/// The container's ends and everyone who is attached.
pub(super) struct Streaming {
    /// stdout and stderr; the terminal is in the first place.
    outputs: [Option<OwnedFd>; 2],
    tty: bool,
    /// `None` when stdin is closed or was never open; a terminal's input goes to `outputs[0]`.
    stdin: Option<OwnedFd>,
    stdin_open: bool,
    stdin_once: bool,
    stdin_waiting: VecDeque<u8>,
    /// Close once `stdin_waiting` is empty.
    stdin_ending: bool,
    clients: Vec<Client>,
    log: Option<LogFile>,
    /// Set when output came since it was last asked.
    grown: bool,
    buffer: Vec<u8>,
}

struct Client {
    socket: OwnedFd,
    wants: Streams,
    waiting: VecDeque<u8>,
    /// The beginning of a header that is not complete.
    header: Vec<u8>,
    /// Bytes of the present piece of input that are still to come.
    input_left: usize,
    /// Loses what comes when that many bytes wait for it; others have the container wait.
    sheds: Option<usize>,
    /// Sends lines on, and is no person's.
    sends: bool,
    gone: bool,
}

impl Streaming {
    pub(super) fn new(log: Option<LogFile>, stdin_open: bool, stdin_once: bool) -> Self {
        Self {
            outputs: [None, None],
            tty: false,
            stdin: None,
            stdin_open,
            stdin_once,
            stdin_waiting: VecDeque::new(),
            stdin_ending: false,
            clients: Vec::new(),
            log,
            grown: false,
            buffer: Vec::new(),
        }
    }

    pub(super) fn set_pipes(&mut self, stdin: Option<OwnedFd>, stdout: OwnedFd, stderr: OwnedFd) -> io::Result<()> {
        for fd in stdin.iter().chain([&stdout, &stderr]) {
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        self.stdin = stdin;
        self.outputs = [Some(stdout), Some(stderr)];
        Ok(())
    }

    pub(super) fn set_terminal(&mut self, terminal: OwnedFd) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&terminal, true)?;
        if self.stdin_open {
            self.stdin = Some(terminal.try_clone()?);
        }
        self.tty = true;
        self.outputs = [Some(terminal), None];
        Ok(())
    }

    /// The inodes of the pipes that are stdin, stdout and stderr.
    pub(super) fn inodes(&self) -> [Option<u64>; 3] {
        let inode = |fd: &Option<OwnedFd>| Some(rustix::fs::fstat(fd.as_ref()?).ok()?.st_ino);
        if self.tty { [None; 3] } else { [inode(&self.stdin), inode(&self.outputs[0]), inode(&self.outputs[1])] }
    }

    pub(super) fn resize(&self, size: Size) -> io::Result<()> {
        let (true, Some(terminal)) = (self.tty, &self.outputs[0]) else {
            return Err(io::Error::other("the container has no terminal"));
        };
        Ok(rustix::termios::tcsetwinsize(terminal, size.into())?)
    }

    pub(super) fn add_client(&mut self, socket: OwnedFd, wants: Streams) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        self.clients.push(Client {
            socket,
            wants,
            waiting: VecDeque::new(),
            header: Vec::new(),
            input_left: 0,
            sheds: None,
            sends: false,
            gone: false,
        });
        Ok(())
    }

    /// Adds the process that sends lines on; `buffer` is how much may wait for it.
    pub(super) fn add_sender(&mut self, socket: OwnedFd, buffer: Option<usize>) -> io::Result<()> {
        self.add_client(socket, Streams { stdin: false, stdout: true, stderr: true })?;
        if let Some(sender) = self.clients.last_mut() {
            sender.sheds = buffer;
            sender.sends = true;
        }
        Ok(())
    }

    /// What to wait for. Parts that a slow reader holds up are left out.
    pub(super) fn polls(&self) -> Vec<(Part, BorrowedFd<'_>, PollFlags)> {
        let mut polls = Vec::new();
        if !self.held_up() {
            for (index, output) in self.outputs.iter().enumerate() {
                if let Some(output) = output {
                    polls.push((Part::Output(index), output.as_fd(), PollFlags::IN));
                }
            }
        }
        if let (Some(stdin), false) = (&self.stdin, self.stdin_waiting.is_empty()) {
            polls.push((Part::Stdin, stdin.as_fd(), PollFlags::OUT));
        }
        for (index, client) in self.clients.iter().enumerate() {
            let mut flags = PollFlags::empty();
            if self.stdin_waiting.len() < READ {
                flags |= PollFlags::IN;
            }
            if !client.waiting.is_empty() {
                flags |= PollFlags::OUT;
            }
            polls.push((Part::Client(index), client.socket.as_fd(), flags));
        }
        polls
    }

    fn held_up(&self) -> bool {
        self.clients.iter().any(|client| client.sheds.is_none() && client.waiting.len() >= CLIENT_MAX)
    }

    /// Something can be done about `part`.
    pub(super) fn ready(&mut self, part: Part, flags: PollFlags) {
        match part {
            Part::Output(index) => {
                self.read_output(index);
            }
            Part::Stdin => self.feed_stdin(),
            Part::Client(index) => {
                if flags.contains(PollFlags::OUT) {
                    self.clients[index].flush();
                }
                if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                    self.read_client(index);
                }
            }
        }
    }

    /// Forgets clients that have gone; to be called once per round, after the last `ready`.
    pub(super) fn sweep(&mut self) {
        let stdin_lost = self.clients.iter().any(|client| client.gone && client.wants.stdin);
        self.clients.retain(|client| !client.gone);
        if stdin_lost {
            self.end_stdin();
        }
    }

    /// Whether output came since the last call.
    pub(super) fn take_grown(&mut self) -> bool {
        std::mem::take(&mut self.grown)
    }

    /// Reads once; whether there may be more.
    fn read_output(&mut self, index: usize) -> bool {
        let Some(output) = &self.outputs[index] else { return false };
        self.buffer.resize(READ, 0);
        let count = match rustix::io::read(output, self.buffer.as_mut_slice()) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => return true,
            Err(rustix::io::Errno::AGAIN) => return false,
            // A terminal whose last process has gone says EIO.
            Err(_) => 0,
        };
        if count == 0 {
            self.outputs[index] = None;
            if let Some(log) = &mut self.log {
                log.finish(index);
            }
            return false;
        }
        let data = &self.buffer[..count];
        if let Some(log) = &mut self.log {
            log.write(index, data);
        }
        let kind = if index == 0 { frame::STDOUT } else { frame::STDERR };
        for client in &mut self.clients {
            let wanted = if index == 0 { client.wants.stdout } else { client.wants.stderr };
            if wanted && client.sheds.is_none_or(|most| client.waiting.len() + count <= most) {
                client.waiting.extend(frame::header(kind, count));
                client.waiting.extend(data);
                client.flush();
            }
        }
        self.grown = true;
        true
    }

    /// The container has ended: takes what is left in its pipes, which is no more than they hold.
    pub(super) fn drain(&mut self) {
        self.stdin = None;
        self.stdin_waiting.clear();
        for index in 0..2 {
            while self.read_output(index) {}
            if self.outputs[index].take().is_some()
                && let Some(log) = &mut self.log
            {
                log.finish(index);
            }
        }
    }

    /// Whether nothing waits for any client.
    pub(super) fn delivered(&self) -> bool {
        self.clients.iter().all(|client| client.waiting.is_empty())
    }

    /// Whether only those are waited for who send lines on.
    pub(super) fn waits_for_senders(&self) -> bool {
        self.clients.iter().all(|client| client.waiting.is_empty() || client.sends)
    }

    fn read_client(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let mut buffer = [0; 16 << 10];
        match rustix::io::read(&client.socket, &mut buffer) {
            Ok(0) => client.gone = true,
            Ok(count) => {
                let mut ended = false;
                let mut data = &buffer[..count];
                while !data.is_empty() {
                    if client.input_left > 0 {
                        let (piece, rest) = data.split_at(client.input_left.min(data.len()));
                        client.input_left -= piece.len();
                        data = rest;
                        if client.wants.stdin && self.stdin_open && !self.stdin_ending {
                            self.stdin_waiting.extend(piece);
                        }
                        continue;
                    }
                    let (piece, rest) = data.split_at((frame::HEADER - client.header.len()).min(data.len()));
                    client.header.extend_from_slice(piece);
                    data = rest;
                    if let Some((kind, length)) = frame::parse(&client.header) {
                        client.header.clear();
                        if kind != frame::STDIN || length > frame::MAX {
                            client.gone = true;
                            break;
                        }
                        client.input_left = length;
                        ended |= length == 0 && client.wants.stdin;
                    }
                }
                if ended {
                    self.end_stdin();
                }
                self.feed_stdin();
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => client.gone = true,
        }
    }

    fn end_stdin(&mut self) {
        // A terminal is not closed by one who watches it.
        if self.stdin_once && !self.tty {
            self.stdin_ending = true;
            self.feed_stdin();
        }
    }

    fn feed_stdin(&mut self) {
        if let Some(stdin) = &self.stdin {
            while !self.stdin_waiting.is_empty() {
                let (front, _) = self.stdin_waiting.as_slices();
                match rustix::io::write(stdin, front) {
                    Ok(count) => drop(self.stdin_waiting.drain(..count)),
                    Err(rustix::io::Errno::INTR) => {}
                    Err(rustix::io::Errno::AGAIN) => return,
                    // The container has closed its stdin.
                    Err(_) => {
                        self.stdin_waiting.clear();
                        self.stdin_ending = true;
                    }
                }
            }
            if self.stdin_ending {
                self.stdin = None;
            }
        }
    }
}

impl Client {
    fn flush(&mut self) {
        while !self.waiting.is_empty() && !self.gone {
            let (front, _) = self.waiting.as_slices();
            match rustix::net::send(&self.socket, front, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => {
                    self.gone = true;
                    self.waiting = VecDeque::new();
                }
            }
        }
        if self.waiting.is_empty() && self.waiting.capacity() > CLIENT_MAX / 2 {
            self.waiting = VecDeque::new();
        }
    }
}

impl From<Size> for rustix::termios::Winsize {
    fn from(size: Size) -> Self {
        Self { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
    }
}
