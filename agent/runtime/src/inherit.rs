//! What a process gets from the one that started it, and how it sets itself up: the few steps that
//! need `unsafe` and that the daemon, which forbids it, takes first of all.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::Mutex,
};

/// Descriptors that were handed out already: each can have one owner only.
static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Takes over a descriptor that the starter of this process left open under a known number, as
/// socket activation does, and keeps it from programs started later.
///
/// # Errors
/// `EBADF` when nothing is open under the number, `EBUSY` when it was taken before, `EINVAL` for
/// the three standard ones.
pub fn take_fd(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if taken.contains(&number) {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    // SAFETY: fcntl with these commands touches no memory; a number that is not open gives EBADF.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    taken.push(number);
    // SAFETY: the descriptor is open (fcntl succeeded) and the list above gives it out once only;
    // callers ask for numbers that their starter names, before they open anything themselves.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Keeps descriptors that the starter of this process left open from programs that this one starts,
/// the three standard ones aside. What outlives a command must not hold its caller's pipes open.
///
/// # Errors
/// When `/proc` is missing on a kernel without `close_range`.
pub fn pass_nothing_on() -> io::Result<()> {
    crate::sys::cloexec_from(3)
}

/// How many bytes of what was written to a unix socket its peer has not read yet (unix(7), `SIOCOUTQ`).
///
/// # Errors
/// When the descriptor is no socket.
pub fn unread_by_peer(socket: impl AsFd) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: TIOCOUTQ, which is SIOCOUTQ on a socket, stores one int where the pointer points.
    if unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut count) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Keeps the allocator from making an arena per thread: the daemon has many threads that sleep, and
/// each arena keeps what was freed in it.
pub fn few_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only stores two numbers; it is called before threads are started.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 * 1024);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::{fd::IntoRawFd, unix::net::UnixStream},
    };

    use super::*;

    #[test]
    fn a_descriptor_is_given_once() {
        let number = std::fs::File::open("/dev/null").unwrap().into_raw_fd();
        let owned = take_fd(number).unwrap();
        assert_eq!(owned.as_raw_fd(), number);
        assert_eq!(take_fd(number).unwrap_err().raw_os_error(), Some(libc::EBUSY));
        assert_eq!(take_fd(1).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(take_fd(9999).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn what_a_peer_has_read_is_known() {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        assert_eq!(unread_by_peer(&one).unwrap(), 0);
        one.write_all(b"abc").unwrap();
        assert!(unread_by_peer(&one).unwrap() > 0);
        other.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(unread_by_peer(&one).unwrap(), 0);
    }
}
