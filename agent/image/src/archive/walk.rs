//! Walking a tree by descriptors, one entry of the archive after another.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{ArchiveError, ArchiveOptions};
use crate::tarball::{Entry, EntryKind, TarWriter, Time};
use crate::unpack::{SafeRoot, lossy};

/// These belong to the file system or the machine, not to the file.
const LEFT_OUT: [&[u8]; 5] =
    [b"trusted.overlay.", b"user.overlay.", b"security.selinux", b"security.ima", b"security.evm"];

/// Names and values of extended attributes.
type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// A directory on the way, and what is left to do in it.
struct Level {
    dir: OwnedFd,
    name: Vec<u8>,
    left: Vec<CString>,
}

pub(super) struct Walk<'a, W> {
    options: &'a ArchiveOptions,
    writer: &'a mut TarWriter<W>,
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<'a, W: Write> Walk<'a, W> {
    pub(super) fn new(options: &'a ArchiveOptions, writer: &'a mut TarWriter<W>) -> Walk<'a, W> {
        Walk { options, writer, links: HashMap::new() }
    }

    pub(super) fn tree(mut self, root: BorrowedFd<'_>, path: &Path) -> Result<(), ArchiveError> {
        let path = path.as_os_str().as_bytes();
        let safe = SafeRoot::new(root);
        let fail = |action| move |source: io::Error| ArchiveError::Read { action, path: lossy(path), source };
        let flags = if self.options.follow { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        let top = safe.open(path, flags).map_err(fail("open"))?;
        let stat = rustix::fs::fstat(&top).map_err(|e| fail("look at")(e.into()))?;
        let name = self.options.name.clone();
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            let name = if name.is_empty() { b"file".to_vec() } else { name };
            return self.single(&top, &stat, name);
        }
        let dir = rustix::fs::openat(&top, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| fail("open")(e.into()))?;
        self.directory(&dir, &stat, &name)?;
        let mut levels = vec![level(dir, name)?];
        while let Some(level) = levels.last_mut() {
            let Some(child) = level.left.pop() else {
                levels.pop();
                continue;
            };
            let name = join(&level.name, child.to_bytes());
            if let Some(next) = self.child(level.dir.as_fd(), &child, name)? {
                levels.push(next);
            }
        }
        Ok(())
    }

    /// Writes one child; a directory is returned to be walked.
    fn child(&mut self, parent: BorrowedFd<'_>, child: &CStr, name: Vec<u8>) -> Result<Option<Level>, ArchiveError> {
        let fail = |action| {
            let path = lossy(&name);
            move |e: Errno| ArchiveError::Read { action, path, source: e.into() }
        };
        let stat = match rustix::fs::statat(parent, child, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // It went away meanwhile.
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(fail("look at")(e)),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if self.options.whiteouts {
            if child.to_bytes().starts_with(b".wh.") {
                tracing::warn!(path = %lossy(&name), "left out of the layer: its name would be read as a whiteout");
                return Ok(None);
            }
            if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
                return self.whiteout(&name, child.to_bytes(), &stat).map(|()| None);
            }
        }
        match kind {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let dir = match rustix::fs::openat(parent, child, flags, Mode::empty()) {
                    Ok(dir) => dir,
                    Err(Errno::NOENT) => return Ok(None),
                    Err(e) => return Err(fail("open")(e)),
                };
                self.directory(&dir, &stat, &name)?;
                level(dir, name).map(Some)
            }
            FileType::RegularFile if stat.st_nlink > 1 && self.hard_link(&stat, &name)? => Ok(None),
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = match rustix::fs::openat(parent, child, flags, Mode::empty()) {
                    Ok(file) => file,
                    Err(Errno::NOENT) => return Ok(None),
                    Err(e) => return Err(fail("open")(e)),
                };
                let stat = rustix::fs::fstat(&file).map_err(fail("look at"))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                    self.file(file, &stat, name)?;
                }
                Ok(None)
            }
            // Sockets have no meaning without the process that made them.
            FileType::Socket | FileType::Unknown => Ok(None),
            _ => {
                let node = match rustix::fs::openat(
                    parent,
                    child,
                    OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                    Mode::empty(),
                ) {
                    Ok(node) => node,
                    Err(Errno::NOENT) => return Ok(None),
                    Err(e) => return Err(fail("open")(e)),
                };
                let stat = rustix::fs::fstat(&node).map_err(fail("look at"))?;
                self.single(&node, &stat, name).map(|()| None)
            }
        }
    }

    /// Writes something that is no directory, given by a descriptor that only names it.
    fn single(&mut self, node: &OwnedFd, stat: &Stat, name: Vec<u8>) -> Result<(), ArchiveError> {
        let fail = |action| {
            let path = lossy(&name);
            move |e: Errno| ArchiveError::Read { action, path, source: e.into() }
        };
        let by_proc = format!("/proc/self/fd/{}", node.as_raw_fd());
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let file =
                    rustix::fs::open(by_proc, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(fail("open"))?;
                return self.file(file, stat, name);
            }
            FileType::Symlink => EntryKind::Symlink,
            FileType::CharacterDevice => EntryKind::CharDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Fifo => EntryKind::Fifo,
            _ => return Ok(()),
        };
        let mut entry = describe(&name, kind, stat);
        if kind == EntryKind::Symlink {
            entry.link = rustix::fs::readlinkat(node, "", Vec::new()).map_err(fail("read"))?.into_bytes();
        } else {
            entry.xattrs = xattrs_by_path(&by_proc).map_err(fail("read the attributes of"))?;
        }
        self.writer.append(&entry, &mut io::empty()).map_err(ArchiveError::Write)
    }

    fn file(&mut self, file: OwnedFd, stat: &Stat, name: Vec<u8>) -> Result<(), ArchiveError> {
        let mut entry = describe(&name, EntryKind::File, stat);
        entry.size = u64::try_from(stat.st_size).unwrap_or(0);
        entry.xattrs = self.xattrs(&file, &name)?;
        // A file that shrinks meanwhile is filled up: the header has promised its size.
        let mut data = std::fs::File::from(file).chain(io::repeat(0));
        self.writer.append(&entry, &mut data).map_err(ArchiveError::Write)
    }

    fn directory(&mut self, dir: &OwnedFd, stat: &Stat, name: &[u8]) -> Result<(), ArchiveError> {
        let shown: &[u8] = if name.is_empty() { b"./" } else { name };
        let mut entry = describe(shown, EntryKind::Directory, stat);
        entry.xattrs = self.xattrs(dir, name)?;
        self.writer.append(&entry, &mut io::empty()).map_err(ArchiveError::Write)?;
        if self.options.whiteouts && is_opaque(dir) {
            let mark = Entry {
                mode: 0o600,
                mtime: entry.mtime,
                ..Entry::new(join(name, b".wh..wh..opq"), EntryKind::File, 0o600)
            };
            self.writer.append(&mark, &mut io::empty()).map_err(ArchiveError::Write)?;
        }
        Ok(())
    }

    fn whiteout(&mut self, name: &[u8], child: &[u8], stat: &Stat) -> Result<(), ArchiveError> {
        let parent = &name[..name.len() - child.len()];
        let hidden = [parent, b".wh.", child].concat();
        let entry =
            Entry { mtime: describe(b"", EntryKind::File, stat).mtime, ..Entry::new(hidden, EntryKind::File, 0o600) };
        self.writer.append(&entry, &mut io::empty()).map_err(ArchiveError::Write)
    }

    /// Writes a link to the name that the file had before, if it had one.
    fn hard_link(&mut self, stat: &Stat, name: &[u8]) -> Result<bool, ArchiveError> {
        let file = (stat.st_dev, stat.st_ino);
        let Some(first) = self.links.get(&file) else {
            self.links.insert(file, name.to_vec());
            return Ok(false);
        };
        let mut entry = describe(name, EntryKind::HardLink, stat);
        entry.link = first.clone();
        self.writer.append(&entry, &mut io::empty()).map_err(ArchiveError::Write)?;
        Ok(true)
    }

    fn xattrs(&self, fd: &OwnedFd, name: &[u8]) -> Result<Xattrs, ArchiveError> {
        let fail =
            |e: Errno| ArchiveError::Read { action: "read the attributes of", path: lossy(name), source: e.into() };
        let names = list(|buffer| rustix::fs::flistxattr(fd, buffer)).map_err(fail)?;
        let moved = |n: &&[u8]| matches!(*n, b"trusted.overlay.redirect" | b"trusted.overlay.metacopy");
        if self.options.whiteouts && names.split(|b| *b == 0).any(|n| moved(&n)) {
            return Err(ArchiveError::Redirected(lossy(name)));
        }
        collect(&names, |key, buffer| rustix::fs::fgetxattr(fd, key, buffer)).map_err(fail)
    }
}

/// Bytes in files below an open directory.
pub(super) fn size(root: BorrowedFd<'_>) -> io::Result<u64> {
    let mut total = 0u64;
    let mut counted = HashSet::new();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut open = vec![(rustix::fs::openat(root, ".", flags, Mode::empty())?, None)];
    // One descriptor for each level, not for each directory: trees can be wide.
    while let Some((dir, left)) = open.last_mut() {
        let left = match left {
            Some(left) => left,
            None => left.insert(measure(dir, &mut counted, &mut total)?),
        };
        let Some(child) = left.pop() else {
            open.pop();
            continue;
        };
        if let Ok(next) = rustix::fs::openat(&*dir, &child, flags, Mode::empty()) {
            open.push((next, None));
        }
    }
    Ok(total)
}

/// Adds the files of one directory up, and returns its directories.
fn measure(dir: &OwnedFd, counted: &mut HashSet<(u64, u64)>, total: &mut u64) -> io::Result<Vec<CString>> {
    let mut dirs = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => dirs.push(name.to_owned()),
            FileType::RegularFile if stat.st_nlink == 1 || counted.insert((stat.st_dev, stat.st_ino)) => {
                *total += u64::try_from(stat.st_size).unwrap_or(0);
            }
            _ => {}
        }
    }
    Ok(dirs)
}

fn level(dir: OwnedFd, name: Vec<u8>) -> Result<Level, ArchiveError> {
    let fail = |e: Errno| ArchiveError::Read { action: "list", path: lossy(&name), source: e.into() };
    let mut left = Vec::new();
    for entry in Dir::read_from(&dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            left.push(entry.file_name().to_owned());
        }
    }
    // Taken from the end: the archive is in the order of names, whatever the file system's is.
    left.sort_by(|a, b| b.cmp(a));
    Ok(Level { dir, name, left })
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

fn describe(name: &[u8], kind: EntryKind, stat: &Stat) -> Entry {
    let mut entry = Entry::new(name, kind, stat.st_mode & 0o7777);
    (entry.uid, entry.gid) = (stat.st_uid.into(), stat.st_gid.into());
    entry.mtime = Time { secs: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 };
    if matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
        (entry.major, entry.minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    }
    entry
}

fn is_opaque(dir: &OwnedFd) -> bool {
    let mut value = [0u8; 1];
    matches!(rustix::fs::fgetxattr(dir, "trusted.overlay.opaque", &mut value[..]), Ok(1) if value == *b"y")
}

fn xattrs_by_path(path: &str) -> Result<Xattrs, Errno> {
    let names = list(|buffer| rustix::fs::listxattr(path, buffer))?;
    collect(&names, |key, buffer| rustix::fs::getxattr(path, key, buffer))
}

/// The list of attribute names, each with a final NUL.
fn list(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    // Most files have none, or few.
    let mut names = vec![0u8; 512];
    match grow(&mut names, 64 * 1024, read) {
        Err(Errno::NOTSUP) => Ok(Vec::new()),
        other => other.map(|()| names),
    }
}

fn collect(names: &[u8], read: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>) -> Result<Xattrs, Errno> {
    let mut found = Vec::new();
    for name in names.split(|b| *b == 0).filter(|n| !n.is_empty()) {
        if LEFT_OUT.iter().any(|out| name.starts_with(out)) {
            continue;
        }
        let mut value = vec![0u8; 256];
        match grow(&mut value, 64 * 1024, |buffer| read(name, buffer)) {
            Ok(()) => found.push((name.to_vec(), value)),
            Err(Errno::NODATA) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

fn grow(buffer: &mut Vec<u8>, limit: usize, read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<(), Errno> {
    loop {
        match read(buffer) {
            Ok(n) => {
                buffer.truncate(n);
                return Ok(());
            }
            Err(Errno::RANGE) if buffer.len() < limit => buffer.resize(limit, 0),
            Err(e) => return Err(e),
        }
    }
}
