//! A process's standard streams and further descriptors.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::step::{ResultExt, StepError};
use super::{Stdio, TerminalSize};
use crate::mounts::inroot;
use crate::sys;

/// A new terminal of the container's own devpts.
pub(crate) fn open_terminal(root: BorrowedFd<'_>, size: Option<TerminalSize>) -> Result<(OwnedFd, OwnedFd), StepError> {
    let what = "open a terminal";
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    // The image must not choose what kind of file answers here.
    let master = inroot::open(root, Path::new("/dev/pts/ptmx"), flags)
        .or_else(|_| inroot::open(root, Path::new("/dev/ptmx"), flags))
        .step(what)?;
    let stat = rustix::fs::fstat(&master).step(what)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFCHR || stat.st_rdev != rustix::fs::makedev(5, 2) {
        return Err(StepError::invalid("the container's /dev/ptmx is not the terminal multiplexer".into()));
    }
    rustix::pty::unlockpt(&master).step(what)?;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .step(what)?;
    if let Some(size) = size {
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).step("set the terminal's size")?;
    }
    Ok((master, slave))
}

/// Gives the terminal to the user that the process will be.
pub(crate) fn own_terminal(slave: BorrowedFd<'_>, uid: u32) -> Result<(), StepError> {
    let owner = Some(rustix::fs::Uid::from_raw(uid));
    match rustix::fs::fchown(slave, owner, None) {
        // A user namespace may have no name for the present owner.
        Ok(()) | Err(rustix::io::Errno::PERM | rustix::io::Errno::INVAL | rustix::io::Errno::ROFS) => Ok(()),
        Err(error) => Err(error).step("give the terminal to its user"),
    }
}

/// Where the streams come from, in the process itself.
#[derive(Debug)]
pub(crate) enum Streams {
    Given { stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd },
    Terminal(OwnedFd),
    Inherited,
}

impl Streams {
    /// `None` for a terminal, which does not exist yet.
    pub(crate) fn new(stdio: Stdio) -> Option<Self> {
        match stdio {
            Stdio::Streams { stdin, stdout, stderr } => Some(Self::Given { stdin, stdout, stderr }),
            Stdio::Inherit => Some(Self::Inherited),
            Stdio::Terminal { .. } => None,
        }
    }
}

/// Opens the null device again where the process is. One that was opened on the host is a file of the host's, which
/// nobody who looks at the container could find again.
pub(crate) fn use_own_null(streams: &mut Streams) {
    let Streams::Given { stdin, stdout, stderr } = streams else { return };
    let is_null = |fd: &OwnedFd| {
        rustix::fs::fstat(fd)
            .is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == rustix::fs::makedev(1, 3))
    };
    for stream in [stdin, stdout, stderr].into_iter().filter(|stream| is_null(stream)) {
        // What an image has there may be anything; then the host's stays.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let own = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty());
        if let Some(own) = own.ok().filter(is_null) {
            let _ = rustix::fs::fcntl_setfl(&own, OFlags::empty());
            *stream = own;
        }
    }
}

/// Puts the streams to 0, 1 and 2 and the further descriptors to 3, 4, …; all others close at `execve`, so that
/// none of ours can leak into the container.
pub(crate) fn arrange(streams: Streams, pass: Vec<OwnedFd>) -> io::Result<()> {
    let first_free = 3 + i32::try_from(pass.len()).map_err(|_| io::Error::from_raw_os_error(libc::EMFILE))?;
    // Everything moves above the numbers that are about to be taken. The originals may have those numbers
    // themselves, so they are not closed here: `execve` does it.
    let lift = |fds: Vec<OwnedFd>| -> io::Result<Vec<OwnedFd>> {
        let lifted = fds.iter().map(|fd| sys::dup_above(fd, first_free)).collect();
        fds.into_iter().for_each(std::mem::forget);
        lifted
    };
    let pass = lift(pass)?;
    let streams = match streams {
        Streams::Inherited => Vec::new(),
        Streams::Terminal(slave) => {
            sys::set_controlling_terminal(slave.as_fd())?;
            let slave = lift(vec![slave])?.remove(0);
            vec![slave.try_clone()?, slave.try_clone()?, slave]
        }
        Streams::Given { stdin, stdout, stderr } => lift(vec![stdin, stdout, stderr])?,
    };
    for (target, fd) in (0..).zip(&streams).chain((3..).zip(&pass)) {
        sys::dup_to(fd.as_raw_fd(), target)?;
    }
    sys::cloexec_from(first_free.cast_unsigned())
}
