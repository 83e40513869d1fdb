//! System calls that neither rustix nor nix has, one small function each.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

mod mount;
mod signals;

pub(crate) use mount::{
    MOUNT_ATTR_ATIME, MOUNT_ATTR_IDMAP, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_STRICTATIME, MountAttr, attach,
    clone_tree, mount_setattr, set_propagation,
};
pub(crate) use signals::{reset_signals, signal_fd};

/// What a raw system call returned, as a result.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Which process `clone3` came back in.
pub(crate) enum Fork {
    /// The new one.
    Child,
    /// The old one.
    Parent {
        /// The new process.
        pid: i32,
        /// A descriptor of it.
        pidfd: OwnedFd,
    },
}

/// The kernel's `struct clone_args`.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks, with new namespaces as `flags` says, into the cgroup whose directory is `cgroup` (v2 only).
///
/// # Safety
/// The process must have one thread only: the child has copies of no other thread, and would wait
/// forever for a lock that one of them held.
pub(crate) unsafe fn fork(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        // The child of our parent ends with the signal that we end with.
        exit_signal: if flags & libc::CLONE_PARENT as u64 == 0 { libc::SIGCHLD as u64 } else { 0 },
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` is what the kernel expects and lives through the call; without CLONE_VM the child
    // goes on with its own copy of this stack. That no other thread exists is the caller's promise.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) })?;
    if pid == 0 {
        return Ok(Fork::Child);
    }
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows of it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Fork::Parent { pid: pid as i32, pidfd })
}

/// Joins the namespace `fd`, which must be of the kind `kind` (a CLONE_NEW flag; 0 is any). With a
/// pidfd, joins all the namespaces of that process that `kind` names.
pub(crate) fn setns(fd: BorrowedFd<'_>, kind: u64) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), kind as libc::c_int) }).map(drop)
}

/// Moves this process into new namespaces.
pub(crate) fn unshare(flags: u64) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_unshare, flags) }).map(drop)
}

/// Makes every descriptor from `first` on close when the process executes a program.
pub(crate) fn cloexec_from(first: u32) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: no memory is passed; no descriptor is closed here.
    let done = check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) });
    match done {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => cloexec_each(first),
        other => other.map(drop),
    }
}

/// What `close_range` does, for kernels before 5.11.
fn cloexec_each(first: u32) -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        if let Some(fd) = name.to_str().and_then(|name| name.parse::<u32>().ok())
            && fd >= first
        {
            // SAFETY: F_SETFD passes no memory; a descriptor that is gone meanwhile gives EBADF, which is no harm.
            unsafe { libc::fcntl(fd as RawFd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// `prctl` with numbers only.
pub(crate) fn prctl(option: libc::c_int, arg2: u64, arg3: u64) -> io::Result<libc::c_int> {
    // SAFETY: the options used in this crate with this function take numbers, no pointers.
    let result = unsafe { libc::prctl(option, arg2, arg3, 0, 0) };
    check(result.into()).map(|value| value as libc::c_int)
}

/// Loads a system call filter; returns the notification descriptor if `flags` asks for one.
pub(crate) fn seccomp(flags: u32, program: &[libc::sock_filter]) -> io::Result<Option<OwnedFd>> {
    const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: `program` points to `len` instructions, which the kernel copies and does not write.
    let result =
        check(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program) })?;
    if flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32 == 0 {
        return Ok(None);
    }
    // SAFETY: with this flag the result is a descriptor that the kernel has just made for us.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(result as RawFd) }))
}

/// The kernel's `__user_cap_data_struct` pair, as three sets of 64 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CapSets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

const CAP_VERSION_3: u32 = 0x2008_0522;

/// Sets this thread's capabilities.
pub(crate) fn capset(sets: CapSets) -> io::Result<()> {
    let header = CapHeader { version: CAP_VERSION_3, pid: 0 };
    let half = |shift: u32| {
        [(sets.effective >> shift) as u32, (sets.permitted >> shift) as u32, (sets.inheritable >> shift) as u32]
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 takes two blocks of three 32-bit words.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// This thread's capabilities.
pub(crate) fn capget() -> io::Result<CapSets> {
    let header = CapHeader { version: CAP_VERSION_3, pid: 0 };
    let mut data = [[0u32; 3]; 2];
    // SAFETY: version 3 fills two blocks of three 32-bit words.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    let join = |index: usize| u64::from(data[0][index]) | u64::from(data[1][index]) << 32;
    Ok(CapSets { effective: join(0), permitted: join(1), inheritable: join(2) })
}

/// Joins a new session keyring of the given name.
pub(crate) fn join_session_keyring(name: &CStr) -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: the name is a C string.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }).map(drop)
}

/// Joins a new session keyring without a name; a kernel or sandbox without keyrings has none that could leak.
pub(crate) fn new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name is allowed.
    let result = check(unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
    });
    match result {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EDQUOT)) => Ok(()),
        other => other.map(drop),
    }
}

/// Sets the supplementary groups of this process.
pub(crate) fn setgroups(groups: &[libc::gid_t]) -> io::Result<()> {
    // SAFETY: the slice is valid for its length.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// Sets real, effective and saved group.
pub(crate) fn setresgid(gid: libc::gid_t) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// Sets real, effective and saved user.
pub(crate) fn setresuid(uid: libc::uid_t) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Sets the I/O priority of this process.
pub(crate) fn ioprio_set(class: u32, level: u32) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, class << 13 | level) }).map(drop)
}

/// The kernel's `struct sched_attr`, first version.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SchedAttr {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// Sets this thread's scheduling.
pub(crate) fn sched_setattr(attr: SchedAttr) -> io::Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..attr };
    // SAFETY: `attr` says its own size and lives through the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) }).map(drop)
}

/// Sets the NUMA memory policy of this thread; `nodes` is a mask.
pub(crate) fn set_mempolicy(mode: i32, nodes: &[u64]) -> io::Result<()> {
    let (mask, bits) = if nodes.is_empty() {
        (std::ptr::null(), 0)
    } else {
        // The kernel reads one bit less than it is told.
        (nodes.as_ptr(), nodes.len() * 64 + 1)
    };
    // SAFETY: `mask` is null or has `bits - 1` bits.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}

/// Binds this thread to the processors in `mask`.
pub(crate) fn sched_setaffinity(mask: &[u64]) -> io::Result<()> {
    // SAFETY: the slice is valid for its length in bytes.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) }).map(drop)
}

/// Sets the execution domain.
pub(crate) fn personality(domain: u64) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::personality(domain as libc::c_ulong) }.into()).map(drop)
}

/// Signals the process that `pidfd` refers to.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: a null siginfo is allowed.
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    })
    .map(drop)
}

/// A descriptor of the process `pid`.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Signals a process by its number.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Waits for one child; returns its raw wait status.
pub(crate) fn waitpid(pid: i32) -> io::Result<i32> {
    loop {
        let mut status = 0;
        // SAFETY: `status` lives through the call.
        match check(unsafe { libc::waitpid(pid, &raw mut status, 0) }.into()) {
            Ok(_) => return Ok(status),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// C strings as the null-terminated array of pointers that `execve` takes.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Executes a program; returns only if that fails.
pub(crate) fn execve(path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: all pointers are to C strings that live through the call, and the arrays end with null.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Executes the program that `fd` is open on; returns only if that fails.
pub(crate) fn fexecve(fd: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> io::Error {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: as in `execve`.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Duplicates `fd` to exactly `target`, which stays open over `execve`.
pub(crate) fn dup_to(fd: RawFd, target: RawFd) -> io::Result<()> {
    if fd == target {
        // SAFETY: F_SETFD passes no memory.
        return check(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }.into()).map(drop);
    }
    // SAFETY: no memory is passed; the callers use only targets that they own.
    check(unsafe { libc::dup2(fd, target) }.into()).map(drop)
}

/// Duplicates `fd` to some number of at least `min`, closed over `execve`.
pub(crate) fn dup_above(fd: impl AsFd, min: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let new = check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_DUPFD_CLOEXEC, min) }.into())?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(new as RawFd) })
}

/// Makes the terminal `fd` the controlling terminal of this session.
pub(crate) fn set_controlling_terminal(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the argument is a number.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSCTTY, 0) }.into()).map(drop)
}

/// Ends this process at once, without running what was registered to run at exit.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor from `first` on. What owned them must not be used again.
pub(crate) fn close_from(first: u32) {
    // SAFETY: no memory is passed. The only caller never returns to code that owns a descriptor.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// What kind of namespace `fd` is, as a CLONE_NEW flag.
pub(crate) fn namespace_kind(fd: BorrowedFd<'_>) -> io::Result<u64> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: this request takes no argument.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE as _) }.into()).map(|kind| kind as u64)
}

/// Takes over descriptors that whoever started this process left open for the container: 3 and on.
pub(crate) fn inherited_fds(count: u32) -> io::Result<Vec<OwnedFd>> {
    (3..3 + count.min(1 << 16))
        .map(|number| {
            // SAFETY: F_SETFD passes no memory; a number that is not open gives EBADF.
            check(unsafe { libc::fcntl(number as RawFd, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
            // SAFETY: it is open, and this is called once, by the command line, before it opens anything itself.
            Ok(unsafe { OwnedFd::from_raw_fd(number as RawFd) })
        })
        .collect()
}

/// Major and minor version of the running kernel.
pub(crate) fn kernel_version() -> (u32, u32) {
    static VERSION: OnceLock<(u32, u32)> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let name = rustix::system::uname();
        name.release().to_str().ok().and_then(parse_version).unwrap_or((0, 0))
    })
}

/// `6.1.0-13-amd64` as 6 and 1.
pub(crate) fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse_version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(parse_version("4.8"), Some((4, 8)));
        assert!(parse_version("4.10") > parse_version("4.8"));
    }
}
