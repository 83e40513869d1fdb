//! The container's first process where one was asked for: it starts the command, forwards signals to it,
//! reaps what is orphaned, and ends as the command ends. It needs nothing from the image: it is this program,
//! forked and not executed.

use std::ffi::CStr;
use std::io;

use crate::sys;

/// Where the kernel finds the command line of this process, and so of what is forked from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Title {
    start: usize,
    end: usize,
}

/// What the container's processes see as the name of the first.
const NAME: &CStr = c"init";

impl Title {
    /// Of this process.
    pub(crate) fn own() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        // The name in parentheses may have anything in it; after it, fields 48 and 49 of proc(5).
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse().ok());
        match (field(48), field(49)) {
            (Some(start), Some(end)) if start != 0 && start < end => Ok(Self { start, end }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/self/stat has no place of the arguments")),
        }
    }

    /// Puts a plain name there instead of how the launching program was called, which is not the container's business.
    fn overwrite(self) {
        let _ = rustix::thread::set_name(NAME);
        let name = NAME.to_bytes_with_nul();
        let length = self.end - self.start;
        // SAFETY: the kernel has put the arguments there when this program was executed, on its stack, which is
        // writable for ever; nothing of this process looks at them again.
        unsafe {
            let place = std::ptr::with_exposed_provenance_mut::<u8>(self.start);
            std::ptr::write_bytes(place, 0, length);
            std::ptr::copy_nonoverlapping(name.as_ptr(), place, name.len().min(length));
        }
    }
}

/// Forks. `Some(pid)` in the process that is to reap, `None` in the one that is to be the command.
pub(crate) fn split(title: &Title) -> io::Result<Option<i32>> {
    // Where there is no pid namespace, orphans would go past us.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0)?;
    block_signals(libc::SIG_BLOCK)?;
    title.overwrite();
    // SAFETY: the container's process has one thread.
    match unsafe { sys::fork(0, None) }? {
        sys::Fork::Parent { pid, .. } => Ok(Some(pid)),
        sys::Fork::Child => {
            block_signals(libc::SIG_UNBLOCK)?;
            // A process group of its own, in the foreground if there is a terminal: what is typed goes to the
            // command alone, and not a second time through us.
            rustix::process::setpgid(None, None)?;
            foreground();
            sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0)?;
            Ok(None)
        }
    }
}

fn foreground() {
    let Ok(group) = rustix::process::getpgid(None) else {
        return;
    };
    let stdin = rustix::stdio::stdin();
    // A background process that does this is stopped by SIGTTOU unless the signal is blocked.
    let _ = signal_mask(libc::SIG_BLOCK, &[libc::SIGTTOU]);
    if rustix::termios::isatty(stdin) {
        let _ = rustix::termios::tcsetpgrp(stdin, group);
    }
    let _ = signal_mask(libc::SIG_UNBLOCK, &[libc::SIGTTOU]);
}

/// All signals that mean something to the command; those for faults stay with whom they befall.
const KEPT: [libc::c_int; 6] = [libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGTRAP];

fn forwarded() -> libc::sigset_t {
    // SAFETY: both functions only write the set, which is large enough by its type.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        for signal in KEPT {
            libc::sigdelset(&raw mut set, signal);
        }
        set
    }
}

fn block_signals(how: libc::c_int) -> io::Result<()> {
    let set = forwarded();
    // SAFETY: the set is initialised; the old one is not asked for.
    if unsafe { libc::sigprocmask(how, &raw const set, std::ptr::null_mut()) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn signal_mask(how: libc::c_int, signals: &[libc::c_int]) -> io::Result<()> {
    // SAFETY: the set is initialised before it is used; the old one is not asked for.
    let result = unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigprocmask(how, &raw const set, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Forwards and reaps until the command has ended, then ends with its exit code.
pub(crate) fn reap(command: i32) -> ! {
    // Nothing of what the supervisor had open may stay so; the container's own streams included, or a reader
    // would wait for this process.
    let _ = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())
        .map(|null| (0..3).for_each(|target| drop(sys::dup_to(std::os::fd::AsRawFd::as_raw_fd(&null), target))));
    sys::close_from(3);
    let set = forwarded();
    loop {
        let mut signal = 0;
        // SAFETY: the set is initialised and `signal` lives through the call.
        if unsafe { libc::sigwait(&raw const set, &raw mut signal) } != 0 {
            continue;
        }
        match signal {
            libc::SIGCHLD => {
                if let Some(code) = reap_all(command) {
                    sys::exit_now(code);
                }
            }
            // Stops of the command are its terminal's business.
            libc::SIGTTIN | libc::SIGTTOU | libc::SIGTSTP => {}
            other => drop(sys::kill(command, other)),
        }
    }
}

/// Takes all children that have ended; the command's exit code if it is among them.
fn reap_all(command: i32) -> Option<i32> {
    let mut code = None;
    loop {
        let mut status = 0;
        // SAFETY: `status` lives through the call.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
            pid if pid > 0 => {
                if pid == command {
                    code = Some(crate::hooks::exit_code(status));
                }
            }
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return code,
        }
    }
}
