//! Learning that the kernel has killed a process of a cgroup for want of memory.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{Cgroup, CgroupError, read};

fn failed(what: String) -> impl FnOnce(io::Error) -> CgroupError {
    |source| CgroupError::Io { what, source }
}

/// See [`Cgroup::oom_watch`].
pub(super) fn watch(cgroup: &Cgroup) -> Result<OwnedFd, CgroupError> {
    let Some((dir, v2)) = cgroup.directory("memory") else {
        return Err(CgroupError::NoController { what: "the watch for want of memory", controller: "memory" });
    };
    if v2 {
        let file = dir.join("memory.events");
        let open = std::fs::File::open(&file).map_err(failed(format!("open {}", file.display())))?;
        return Ok(open.into());
    }
    let file = dir.join("memory.oom_control");
    let what = || format!("watch {}", file.display());
    let control = std::fs::File::open(&file).map_err(failed(what()))?;
    // SAFETY: no memory is passed.
    let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if event < 0 {
        return Err(failed(what())(io::Error::last_os_error()));
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let event = unsafe { OwnedFd::from_raw_fd(event) };
    let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    let mut register =
        std::fs::OpenOptions::new().write(true).open(dir.join("cgroup.event_control")).map_err(failed(what()))?;
    register.write_all(line.as_bytes()).map_err(failed(what()))?;
    Ok(event)
}

/// See [`Cgroup::oom_kills`].
pub(super) fn kills(cgroup: &Cgroup) -> Result<u64, CgroupError> {
    let Some((dir, v2)) = cgroup.directory("memory") else {
        return Ok(0);
    };
    let text = read(&dir.join(if v2 { "memory.events" } else { "memory.oom_control" }))?;
    let count =
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.trim().parse().ok());
    Ok(count.unwrap_or(0))
}
