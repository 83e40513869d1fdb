//! Keeping our own executable out of a container's reach.
//!
//! A process that enters a container is visible there as `/proc/<pid>/exe`, and a hostile image can
//! make us execute ourselves inside it. Were that file the one on the host's disk, it could be opened
//! for writing and replaced. So everything that enters containers runs from a copy that nobody can write.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};

use crate::sys::{self, MOUNT_ATTR_RDONLY, MountAttr};

const OWN: &std::ffi::CStr = c"/proc/self/exe";

/// The first statement of `main`: if this process was started as one of our own helpers, it becomes
/// that helper and never returns. In every other case it does nothing.
pub fn guard() {
    crate::supervisor::run_if_asked();
}

/// A descriptor of our own executable that cannot be written through, to be started with `execveat`
/// and an empty path: a read-only mount of the file that is attached nowhere, or a sealed copy in
/// memory where the kernel cannot give us such a mount.
///
/// # Errors
/// When neither can be made.
pub fn sealed_self() -> io::Result<OwnedFd> {
    read_only_mount().or_else(|_| sealed_copy())
}

fn read_only_mount() -> io::Result<OwnedFd> {
    let mount = sys::clone_tree(CWD, OWN, false, true)?;
    let attr = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    sys::mount_setattr(mount.as_fd(), false, attr)?;
    Ok(mount)
}

fn sealed_copy() -> io::Result<OwnedFd> {
    // Systems that forbid executable memory files want to be told.
    const MFD_EXEC: MemfdFlags = MemfdFlags::from_bits_retain(0x10);
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy =
        rustix::fs::memfd_create(c"hoist", flags | MFD_EXEC).or_else(|_| rustix::fs::memfd_create(c"hoist", flags))?;
    let mut own = std::fs::File::from(rustix::fs::openat(CWD, OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    let mut copy = std::fs::File::from(copy);
    io::copy(&mut own, &mut copy)?;
    rustix::fs::fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(copy.into())
}

/// Whether this process already runs from such a descriptor, or from a file system that nobody can write.
fn is_sealed() -> bool {
    let Ok(own) = rustix::fs::openat(CWD, OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else { return false };
    rustix::fs::fstatvfs(&own).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
        || rustix::fs::fcntl_get_seals(&own).is_ok_and(|seals| seals.contains(SealFlags::WRITE))
}

/// Executes this program again from a sealed descriptor, with the same arguments and environment, unless it
/// runs from one already. Returns only then, or when it cannot.
pub(crate) fn reexec_sealed() -> io::Result<()> {
    if is_sealed() {
        return Ok(());
    }
    let program = sealed_self()?;
    let c_string =
        |text: OsString| CString::new(text.into_vec()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let args = std::env::args_os().map(c_string).collect::<io::Result<Vec<_>>>()?;
    let env = std::env::vars_os()
        .map(|(mut key, value)| {
            key.push("=");
            key.push(value);
            c_string(key)
        })
        .collect::<io::Result<Vec<_>>>()?;
    Err(sys::fexecve(program.as_fd(), &args, &env))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cannot_be_written(program: OwnedFd) {
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&program));
        let error = std::fs::OpenOptions::new().write(true).open(&path).unwrap_err();
        // A program that runs is busy; one on a read-only mount, or sealed, cannot be written at any time.
        assert!(matches!(error.raw_os_error(), Some(libc::EROFS | libc::ETXTBSY | libc::EPERM)), "{error}");
        let code = std::fs::read(&path).unwrap();
        assert_eq!(code[..4], *b"\x7fELF");
    }

    #[test]
    fn a_read_only_mount_cannot_be_written() {
        cannot_be_written(read_only_mount().unwrap());
    }

    #[test]
    fn a_sealed_copy_cannot_be_written() {
        let copy = sealed_copy().unwrap();
        let error = rustix::io::pwrite(&copy, b"x", 0).unwrap_err();
        assert_eq!(error, rustix::io::Errno::PERM);
    }
}
