//! Copying a directory's content into the tmpfs that is about to cover it (`tmpcopyup`).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Timestamps, Uid};

/// Deeper trees than this are refused instead of exhausting the stack.
const MAX_DEPTH: usize = 256;

/// Copies what is in the directory `from` (opened `O_PATH`) into `to`: owners, modes and times included.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let from = open_directory(from, c".")?;
    let stat = rustix::fs::fstat(&from)?;
    rustix::fs::chownat(
        to,
        "",
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
        AtFlags::EMPTY_PATH,
    )?;
    rustix::fs::chmodat(to, ".", Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
    let to = open_directory(to, c".")?;
    copy_directory(from.as_fd(), to.as_fd(), 0)
}

fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::from_raw_os_error(libc::ELOOP));
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, to, name, depth)?;
        }
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<()> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    let kind = FileType::from_raw_mode(stat.st_mode);
    match kind {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, Mode::RWXU)?;
            let (inner_from, inner_to) = (open_directory(from, name)?, open_directory(to, name)?);
            copy_directory(inner_from.as_fd(), inner_to.as_fd(), depth + 1)?;
        }
        FileType::RegularFile => {
            let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut source = std::fs::File::from(rustix::fs::openat(from, name, read, Mode::empty())?);
            let mut copy = std::fs::File::from(rustix::fs::openat(to, name, write, Mode::RUSR | Mode::WUSR)?);
            io::copy(&mut source, &mut copy)?;
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(target, to, name)?;
        }
        other => rustix::fs::mknodat(to, name, other, mode, stat.st_rdev)?,
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if kind != FileType::Symlink {
        rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
    }
    let time = |tv_sec, nsec: u64| rustix::fs::Timespec { tv_sec, tv_nsec: nsec.cast_signed() };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    Ok(rustix::fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
