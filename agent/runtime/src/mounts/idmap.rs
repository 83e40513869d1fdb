//! User namespaces that exist only to carry an id-mapped mount's map.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags};

use crate::launch::plan::{CLONE_NEWUSER, IdRange};
use crate::sys;

/// The lines of a map as the kernel reads them.
pub(crate) fn map_text(map: &[IdRange]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for range in map {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {} {}", range.container, range.host, range.size);
    }
    text
}

/// Writes the maps of the user namespace that `pid` is the first process of.
pub(crate) fn write_maps(pid: i32, uid: &[IdRange], gid: &[IdRange]) -> io::Result<()> {
    // One write each: the kernel takes a map only once and as a whole.
    let write = |file: &str, text: &str| {
        std::fs::write(format!("/proc/{pid}/{file}"), text)
            .map_err(|error| io::Error::new(error.kind(), format!("{file} of process {pid}: {error}")))
    };
    match write("gid_map", &map_text(gid)) {
        Ok(()) => {}
        // Without CAP_SETGID outside, groups can be mapped only when they can no longer be dropped.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            write("setgroups", "deny")?;
            write("gid_map", &map_text(gid))?;
        }
        Err(error) => return Err(error),
    }
    write("uid_map", &map_text(uid))
}

/// A user namespace with these maps, in which no process lives.
pub(crate) fn namespace(uid: &[IdRange], gid: &[IdRange]) -> io::Result<OwnedFd> {
    let (hold, release) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: launching needs a process with one thread, which `launch` says; the child only waits.
    match unsafe { sys::fork(CLONE_NEWUSER, None) }? {
        sys::Fork::Child => {
            drop(release);
            let _ = rustix::io::read(&hold, &mut [0; 1]);
            sys::exit_now(0)
        }
        sys::Fork::Parent { pid, .. } => {
            let result = write_maps(pid, uid, gid).and_then(|()| open_user(pid));
            drop(release);
            sys::waitpid(pid)?;
            result
        }
    }
}

/// The user namespace of a process.
pub(crate) fn open_user(pid: i32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, format!("/proc/{pid}/ns/user"), flags, Mode::empty())?)
}
