//! Writes one entry after another: few system calls for each, directories' modes and times at the end.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::root::{clean, split};
use super::{SafeRoot, UnpackError, UnpackOptions, Unpacked, lossy, remove_tree};
use crate::tarball::{Entry, EntryKind, TarReader, Time};

const WHITEOUT: &[u8] = b".wh.";
const WHITEOUT_META: &[u8] = b".wh..wh.";
const WHITEOUT_OPAQUE: &[u8] = b".wh..wh..opq";
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// What a directory gets when all below it is written.
struct DirEnd {
    path: Vec<u8>,
    mode: u32,
    times: Timestamps,
}

pub(super) struct Writer<'a> {
    root: SafeRoot<'a>,
    options: &'a UnpackOptions,
    base: Vec<u8>,
    dirs: Vec<DirEnd>,
    implicit: HashSet<Vec<u8>>,
    described: HashMap<Vec<u8>, usize>,
    me: (u32, u32),
    done: Unpacked,
}

impl<'a> Writer<'a> {
    pub(super) fn new(root: SafeRoot<'a>, options: &'a UnpackOptions) -> Writer<'a> {
        use std::os::unix::ffi::OsStrExt;
        Writer {
            root,
            options,
            base: clean(options.base.as_os_str().as_bytes()).unwrap_or_default(),
            dirs: Vec::new(),
            implicit: HashSet::new(),
            described: HashMap::new(),
            me: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            done: Unpacked::default(),
        }
    }

    pub(super) fn entry<R: BufRead>(&mut self, entry: Entry, tar: &mut TarReader<R>) -> Result<(), UnpackError> {
        self.done.entries += 1;
        let path = self.place(&entry.path).ok_or_else(|| UnpackError::Outside(lossy(&entry.path)))?;
        let (parent_path, name) = split(&path);
        if path == self.base {
            // The root of the tree: only a directory can describe it.
            if entry.kind != EntryKind::Directory {
                return Err(UnpackError::Outside(lossy(&entry.path)));
            }
            return self.directory(&entry, path);
        }
        if self.options.whiteouts && name.starts_with(WHITEOUT) {
            return self.whiteout(&entry, parent_path, name);
        }
        if entry.kind == EntryKind::Directory {
            return self.directory(&entry, path);
        }
        let parent = self.parent(parent_path)?;
        let parent = parent.as_fd();
        self.done.size += entry.size;
        match entry.kind {
            EntryKind::File => self.file(&entry, parent, name, tar),
            EntryKind::HardLink => self.hard_link(&entry, parent, &path),
            EntryKind::Symlink => {
                self.create(&entry, parent, name, |name| rustix::fs::symlinkat(entry.link.as_slice(), parent, name))?;
                self.finish_by_name(&entry, parent, name)
            }
            EntryKind::CharDevice if entry.major == 0 && entry.minor == 0 => {
                Err(UnpackError::ZeroDevice(lossy(&entry.path)))
            }
            EntryKind::CharDevice => self.node(&entry, parent, name, FileType::CharacterDevice),
            EntryKind::BlockDevice => self.node(&entry, parent, name, FileType::BlockDevice),
            EntryKind::Fifo => self.node(&entry, parent, name, FileType::Fifo),
            EntryKind::Directory => Ok(()),
        }
    }

    pub(super) fn finish(mut self) -> Result<Unpacked, UnpackError> {
        self.root.forget();
        for dir in self.dirs.iter().rev() {
            // It may have been replaced by a later entry, which then has its own mode and times.
            let Ok(fd) = self.root.open(&dir.path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW) else {
                continue;
            };
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(dir.mode))
                .map_err(|e| UnpackError::io("set the mode of", &dir.path, e))?;
            rustix::fs::futimens(&fd, &dir.times).map_err(|e| UnpackError::io("set the times of", &dir.path, e))?;
        }
        let mut implicit: Vec<Vec<u8>> = self.implicit.into_iter().collect();
        implicit.sort();
        self.done.implicit_dirs = implicit;
        Ok(self.done)
    }

    /// Where a name of the archive lies below the root.
    fn place(&self, name: &[u8]) -> Option<Vec<u8>> {
        let name = clean(name)?;
        Some(match (self.base.is_empty(), name.is_empty()) {
            (true, _) => name,
            (false, true) => self.base.clone(),
            (false, false) => [self.base.as_slice(), b"/", &name].concat(),
        })
    }

    fn parent(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, UnpackError> {
        let implicit = &mut self.implicit;
        self.root
            .ensure_dir(path, &mut |made| {
                implicit.insert(made.to_vec());
            })
            .map_err(|e| UnpackError::io("open the directory", path, e))
    }

    /// Makes something by `make`; what is in the way is removed first, where that is allowed.
    fn create(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        name: &[u8],
        make: impl Fn(&[u8]) -> Result<(), Errno>,
    ) -> Result<(), UnpackError> {
        for attempt in 0.. {
            match make(name) {
                Ok(()) => break,
                Err(Errno::EXIST) if attempt < 10 => self.clear(entry, parent, name)?,
                Err(e) => return Err(UnpackError::io("create", &entry.path, e)),
            }
        }
        Ok(())
    }

    /// Removes what a new entry replaces.
    fn clear(&mut self, entry: &Entry, parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), UnpackError> {
        if self.options.no_overwrite_dir_non_dir
            && let Ok(stat) = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        {
            let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            match (is_dir, entry.kind == EntryKind::Directory) {
                (true, false) => return Err(UnpackError::OverDirectory(lossy(&entry.path))),
                (false, true) => return Err(UnpackError::OverNonDirectory(lossy(&entry.path))),
                _ => {}
            }
        }
        self.root.forget();
        remove_tree(parent, name).map_err(|e| UnpackError::io("replace", &entry.path, e))
    }

    fn file<R: BufRead>(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        name: &[u8],
        tar: &mut TarReader<R>,
    ) -> Result<(), UnpackError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let file = loop {
            match rustix::fs::openat(parent, name, flags, mode) {
                Ok(fd) => break fd,
                Err(Errno::EXIST) => self.clear(entry, parent, name)?,
                Err(Errno::INTR) => {}
                Err(e) => return Err(UnpackError::io("create", &entry.path, e)),
            }
        };
        let whole = [(0, entry.size)];
        let pieces = entry.sparse.as_deref().unwrap_or(&whole);
        for (offset, length) in pieces {
            copy(&file, *offset, *length, entry, tar)?;
        }
        if entry.sparse.is_some() {
            rustix::fs::ftruncate(&file, entry.size).map_err(|e| UnpackError::io("write", &entry.path, e))?;
        }
        self.own(entry, &file)?;
        // Taking another owner drops these bits, so they come after it.
        if entry.mode & 0o7000 != 0 {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode))
                .map_err(|e| UnpackError::io("set the mode of", &entry.path, e))?;
        }
        self.xattrs(entry, file.as_fd())?;
        rustix::fs::futimens(&file, &times(entry)).map_err(|e| UnpackError::io("set the times of", &entry.path, e))
    }

    fn directory(&mut self, entry: &Entry, path: Vec<u8>) -> Result<(), UnpackError> {
        if path != self.base {
            let (parent_path, name) = split(&path);
            let parent = self.parent(parent_path)?;
            let parent = parent.as_fd();
            let mut hidden_below = false;
            loop {
                match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
                    Ok(()) => break,
                    Err(Errno::EXIST) => {}
                    Err(e) => return Err(UnpackError::io("create", &entry.path, e)),
                }
                let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => stat,
                    Err(Errno::NOENT) => continue,
                    Err(e) => return Err(UnpackError::io("look at", &entry.path, e)),
                };
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => break,
                    FileType::CharacterDevice if stat.st_rdev == 0 && self.options.whiteouts => hidden_below = true,
                    _ => {}
                }
                self.clear(entry, parent, name)?;
            }
            if hidden_below {
                // The layer removes what was below and puts a directory of its own there.
                self.root.forget();
                self.opaque(&path, entry)?;
            }
        }
        self.implicit.remove(&path);
        let dir = self.root.dir(&path).map_err(|e| UnpackError::io("open the directory", &entry.path, e))?;
        self.own(entry, &dir)?;
        self.xattrs(entry, dir.as_fd())?;
        let end = DirEnd { path: path.clone(), mode: entry.mode, times: times(entry) };
        match self.described.get(&path) {
            Some(at) => self.dirs[*at] = end,
            None => {
                self.described.insert(path, self.dirs.len());
                self.dirs.push(end);
            }
        }
        Ok(())
    }

    fn hard_link(&mut self, entry: &Entry, parent: BorrowedFd<'_>, path: &[u8]) -> Result<(), UnpackError> {
        let outside = || UnpackError::LinkOutside { entry: lossy(&entry.path), target: lossy(&entry.link) };
        let target = self.place(&entry.link).filter(|t| *t != self.base).ok_or_else(outside)?;
        if target == path {
            return Ok(());
        }
        let (target_dir, target_name) = split(&target);
        let target_dir =
            self.root.dir(target_dir).map_err(|e| UnpackError::io("find the target of hard link", &entry.path, e))?;
        let (_, name) = split(path);
        for attempt in 0.. {
            // Without AT_SYMLINK_FOLLOW the link goes to a symbolic link itself, never through it.
            match rustix::fs::linkat(target_dir.as_fd(), target_name, parent, name, AtFlags::empty()) {
                Ok(()) => break,
                Err(Errno::EXIST) if attempt < 10 => self.clear(entry, parent, name)?,
                Err(e) => return Err(UnpackError::io("create hard link", &entry.path, e)),
            }
        }
        Ok(())
    }

    fn node(&mut self, entry: &Entry, parent: BorrowedFd<'_>, name: &[u8], kind: FileType) -> Result<(), UnpackError> {
        let device = rustix::fs::makedev(entry.major, entry.minor);
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        self.create(entry, parent, name, |name| rustix::fs::mknodat(parent, name, kind, mode, device))?;
        self.finish_by_name(entry, parent, name)
    }

    /// Owner, mode, attributes and times of what cannot be opened.
    fn finish_by_name(&mut self, entry: &Entry, parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), UnpackError> {
        let (uid, gid) = self.owner(entry)?;
        let fail = |action| move |e: Errno| UnpackError::io(action, &entry.path, e);
        if (uid, gid) != self.me || !self.options.whiteouts {
            rustix::fs::chownat(
                parent,
                name,
                Some(Uid::from_raw(uid)),
                Some(Gid::from_raw(gid)),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(fail("set the owner of"))?;
        }
        let by_proc = [format!("/proc/self/fd/{}/", parent.as_raw_fd()).as_bytes(), name].concat();
        if entry.kind != EntryKind::Symlink && entry.mode & 0o7000 != 0 {
            // A node was just made here and cannot be a link, unless somebody replaced it: look, then open without
            // following, then change what was opened.
            let node =
                rustix::fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
                    .map_err(fail("open"))?;
            let stat = rustix::fs::fstat(&node).map_err(fail("look at"))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                rustix::fs::chmod(format!("/proc/self/fd/{}", node.as_raw_fd()), Mode::from_raw_mode(entry.mode))
                    .map_err(fail("set the mode of"))?;
            }
        }
        for (key, value) in wanted_xattrs(entry, self.options) {
            let set = rustix::fs::lsetxattr(by_proc.as_slice(), key, value, XattrFlags::empty());
            tolerate_xattr(set, key, entry)?;
        }
        rustix::fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW).map_err(fail("set the times of"))
    }

    /// `.wh.name` hides `name` of lower layers; `.wh..wh..opq` hides all that lower layers have in its directory.
    fn whiteout(&mut self, entry: &Entry, parent_path: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        let parent = self.parent(parent_path)?;
        if name == WHITEOUT_OPAQUE {
            return self.opaque(parent_path, entry);
        }
        if name.starts_with(WHITEOUT_META) {
            // Other names of this kind were another file system's own book-keeping.
            return Ok(());
        }
        let hidden = &name[WHITEOUT.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(UnpackError::Whiteout(lossy(&entry.path)));
        }
        match rustix::fs::mknodat(parent.as_fd(), hidden, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                // The layer itself has something there, which stays; only what lower layers have is hidden.
                let stat = rustix::fs::statat(parent.as_fd(), hidden, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|e| UnpackError::io("look at", &entry.path, e))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    let path =
                        if parent_path.is_empty() { hidden.to_vec() } else { [parent_path, b"/", hidden].concat() };
                    return self.opaque(&path, entry);
                }
                Ok(())
            }
            Err(e) => Err(UnpackError::io("create whiteout", &entry.path, e)),
        }
    }

    fn opaque(&mut self, dir: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        let fd = self.root.dir(dir).map_err(|e| UnpackError::io("open the directory", dir, e))?;
        rustix::fs::fsetxattr(fd.as_fd(), OPAQUE_XATTR, b"y", XattrFlags::empty())
            .map_err(|e| UnpackError::io("mark as opaque the directory of", &entry.path, e))
    }

    fn owner(&self, entry: &Entry) -> Result<(u32, u32), UnpackError> {
        if let Some(owner) = self.options.owner {
            return Ok(owner);
        }
        // The highest number means "no change" to the kernel.
        let fits = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
        fits(entry.uid).zip(fits(entry.gid)).ok_or_else(|| UnpackError::Owner(lossy(&entry.path)))
    }

    fn own(&self, entry: &Entry, fd: impl AsFd) -> Result<(), UnpackError> {
        let (uid, gid) = self.owner(entry)?;
        // In a new layer no directory has its setgid bit yet: a file is ours until it is given away.
        if self.options.whiteouts && (uid, gid) == self.me {
            return Ok(());
        }
        rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(|e| UnpackError::io("set the owner of", &entry.path, e))
    }

    fn xattrs(&self, entry: &Entry, fd: BorrowedFd<'_>) -> Result<(), UnpackError> {
        for (key, value) in wanted_xattrs(entry, self.options) {
            tolerate_xattr(rustix::fs::fsetxattr(fd, key, value, XattrFlags::empty()), key, entry)?;
        }
        Ok(())
    }
}

/// Copies stored bytes of the archive into the file at an offset.
fn copy<R: BufRead>(
    file: &OwnedFd,
    mut offset: u64,
    mut left: u64,
    entry: &Entry,
    tar: &mut TarReader<R>,
) -> Result<(), UnpackError> {
    while left > 0 {
        let part = tar.fill().map_err(crate::tarball::TarError::Io)?;
        let part = &part[..part.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        let written = match rustix::io::pwrite(file, part, offset) {
            Ok(0) => return Err(UnpackError::io("write", &entry.path, Errno::IO)),
            Ok(n) => n,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(UnpackError::io("write", &entry.path, e)),
        };
        tar.consume(written);
        offset += written as u64;
        left -= written as u64;
    }
    Ok(())
}

fn times(entry: &Entry) -> Timestamps {
    let spec = |t: Time| Timespec { tv_sec: t.secs, tv_nsec: i64::from(t.nanos.min(999_999_999)) as _ };
    Timestamps { last_access: spec(entry.atime.unwrap_or(entry.mtime)), last_modification: spec(entry.mtime) }
}

/// The entry's attributes without those that steer overlayfs: an archive must not write them.
fn wanted_xattrs<'e>(entry: &'e Entry, options: &UnpackOptions) -> impl Iterator<Item = (&'e [u8], &'e [u8])> {
    let layer = options.whiteouts;
    entry
        .xattrs
        .iter()
        .map(|(k, v)| (k.as_slice(), v.as_slice()))
        .filter(move |(key, _)| !layer || !(key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.")))
}

/// File systems and kinds of files differ in which attributes they take; those they cannot hold are left out.
fn tolerate_xattr(result: Result<(), Errno>, key: &[u8], entry: &Entry) -> Result<(), UnpackError> {
    match result {
        Ok(()) => Ok(()),
        Err(Errno::NOTSUP) => {
            tracing::debug!(path = %lossy(&entry.path), xattr = %lossy(key), "extended attribute is not supported here");
            Ok(())
        }
        // Attributes of users exist on files and directories only.
        Err(Errno::PERM) if key.starts_with(b"user.") => Ok(()),
        Err(e) => Err(UnpackError::io("set an extended attribute of", &entry.path, e)),
    }
}
