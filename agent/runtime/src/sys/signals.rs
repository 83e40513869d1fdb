//! Signals.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::check;

/// Gives every signal its default action and unblocks all: what the launching process ignores or blocks would be
/// ignored and blocked by the command.
pub(crate) fn reset_signals() {
    const SIGNALS: libc::c_int = 64;
    const SET_SIZE: usize = 8;
    // The kernel's `struct sigaction`, in which zero is the default action. The C library's function would not
    // touch the signals that it keeps for itself, but a program that was started before us may have ignored them.
    let default = [0u64; 4];
    for signal in 1..=SIGNALS {
        // SAFETY: the struct is as large as the kernel's; the default action runs no code of ours. For signals that
        // cannot be changed the call fails, rightly.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), SET_SIZE)
        };
    }
    // SAFETY: the set is initialised before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Blocks the signals that a foreground process passes on, and opens a descriptor from which they are read.
pub(crate) fn signal_fd() -> io::Result<OwnedFd> {
    const FAULTS: [libc::c_int; 6] =
        [libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGTRAP];
    // SAFETY: the set is initialised before it is used; all calls only read it afterwards.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        for signal in FAULTS.into_iter().chain([libc::SIGPIPE, libc::SIGTTIN, libc::SIGTTOU]) {
            libc::sigdelset(&raw mut set, signal);
        }
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()).into())?;
        let fd = check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}
