//! Writing selected files below a directory of a tree.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, mkdirat, openat, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::hash::read_link;
use super::mode::ModeChange;
use super::root::{Root, cleaned};
use super::select::{Item, Kind, Selection};
use super::share::{Left, WORTH_SHARING, data};
use crate::BuildError;

/// Where files go and how they look there.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    /// Absolute in the tree.
    pub path: PathBuf,
    /// Written with a slash at its end, or several sources go there.
    pub directory: bool,
    /// Everything gets this owner; `None` keeps the sources'.
    pub owner: Option<(u32, u32)>,
    pub mode: Option<ModeChange>,
    /// Extended attributes come along.
    pub xattrs: bool,
    /// Later times become this one, in seconds since 1970.
    pub latest: Option<i64>,
    /// Large files are left empty where the source's own will do: see [`share`].
    pub share: bool,
}

/// A destination that is being filled.
pub(crate) struct Into<'a> {
    root: &'a Root,
    to: &'a Destination,
    base: PathBuf,
    /// Open directories from the base downwards: path relative to the base, descriptor.
    open: Vec<(PathBuf, OwnedFd)>,
    /// What directories get when all below them is written.
    times: Vec<(PathBuf, Timestamps)>,
    /// First names of files that have several.
    links: HashMap<(u64, u64), PathBuf>,
    left: Vec<Left>,
}

/// Copies a selection.
///
/// # Errors
/// What stands in the way, and what cannot be read or written.
pub(crate) fn copy(
    from: &Root,
    selection: &Selection,
    root: &Root,
    to: &Destination,
    canceled: &dyn Fn() -> bool,
) -> Result<Vec<Left>, BuildError> {
    let rename = selection.single_file && !to.directory && !root.is_dir(&to.path);
    let mut into = Into::new(root, to, rename, selection)?;
    for item in &selection.items {
        if canceled() {
            return Err(BuildError::Canceled);
        }
        let target = if rename { file_name(&into.name_of_target())? } else { item.target.clone() };
        into.item(from, item, &target)?;
    }
    let left = std::mem::take(&mut into.left);
    into.finish()?;
    Ok(left)
}

/// Writes one file of given bytes; `name` is what it is called in a destination that is a directory.
///
/// # Errors
/// What stands in the way, and what cannot be written.
pub(crate) fn write_inline(
    root: &Root,
    to: &Destination,
    name: &str,
    content: &[u8],
    mode: u32,
    time: i64,
) -> Result<(), BuildError> {
    write_one(root, to, name, mode, time, &|file| {
        let mut rest = content;
        while !rest.is_empty() {
            match rustix::io::write(file, rest) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    })
}

/// As [`write_inline`], with the bytes of an open file.
///
/// # Errors
/// As there.
pub(crate) fn write_file(
    root: &Root,
    to: &Destination,
    name: &str,
    content: &OwnedFd,
    mode: u32,
    time: i64,
) -> Result<(), BuildError> {
    write_one(root, to, name, mode, time, &|file| data(content, file))
}

fn write_one(
    root: &Root,
    to: &Destination,
    name: &str,
    mode: u32,
    time: i64,
    fill: &dyn Fn(&OwnedFd) -> io::Result<()>,
) -> Result<(), BuildError> {
    let rename = !to.directory && !root.is_dir(&to.path);
    let empty = Selection { single_file: true, ..Selection::default() };
    let mut into = Into::new(root, to, rename, &empty)?;
    let target = if rename { file_name(&into.name_of_target())? } else { file_name(Path::new(name))? };
    let parent = into.dir(Path::new(""))?;
    let fail = |error: io::Error| BuildError::io("write", to.path.join(&target), error);
    let file = into.create(&parent, target.as_os_str())?;
    fill(&file).map_err(fail)?;
    let (uid, gid) = to.owner.unwrap_or((0, 0));
    let mode = to.mode.as_ref().map_or(mode, |change| change.apply(mode, false));
    rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .and_then(|()| rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)))
        .and_then(|()| rustix::fs::futimens(&file, &into.limited(time, 0)))
        .map_err(|error| fail(error.into()))?;
    into.finish()
}

/// Makes a directory and those above it, where missing.
///
/// # Errors
/// What stands in the way.
pub(crate) fn make_dirs(root: &Root, path: &Path, owner: (u32, u32)) -> Result<(), BuildError> {
    let to = Destination {
        path: path.to_owned(),
        directory: true,
        owner: Some(owner),
        mode: None,
        xattrs: false,
        latest: None,
        share: false,
    };
    Into::new(root, &to, false, &Selection::default())?.finish()
}

fn file_name(path: &Path) -> Result<PathBuf, BuildError> {
    path.file_name()
        .map(PathBuf::from)
        .ok_or_else(|| BuildError::Request(format!("{} is a directory, not the name of a file", path.display())))
}

impl<'a> Into<'a> {
    /// Opens the destination, making it and those above it where missing.
    pub(crate) fn new(
        root: &'a Root,
        to: &'a Destination,
        rename: bool,
        selection: &Selection,
    ) -> Result<Self, BuildError> {
        let wanted = cleaned(&to.path);
        // An existing file is replaced where it really is.
        let wanted = if rename { root.resolve(&wanted).map_or(wanted, |real| cleaned(&real)) } else { wanted };
        let base = if rename { wanted.parent().unwrap_or(Path::new("")).to_owned() } else { wanted };
        let mut into = Self {
            root,
            to,
            base: PathBuf::new(),
            open: Vec::new(),
            times: Vec::new(),
            links: HashMap::new(),
            left: Vec::new(),
        };
        // A directory whose contents go to a place that does not exist gives it its looks.
        let looks = selection.items.first().filter(|item| item.target.as_os_str().is_empty() && selection.sources == 1);
        let dir = into.make(&base, looks)?;
        into.base = base;
        into.open.push((PathBuf::new(), dir));
        Ok(into)
    }

    fn name_of_target(&self) -> PathBuf {
        let wanted = cleaned(&self.to.path);
        self.root.resolve(&wanted).map_or(wanted, |real| cleaned(&real))
    }

    /// A directory of the tree, made where missing.
    fn make(&mut self, path: &Path, looks: Option<&Item>) -> Result<OwnedFd, BuildError> {
        let fail = |error: io::Error| match error.raw_os_error() {
            Some(20) => BuildError::Request(format!("cannot copy to /{}: it is no directory", path.display())),
            _ => BuildError::io("open the directory", Path::new("/").join(path), error),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut missing = Vec::new();
        let mut at = path.to_owned();
        let mut dir = loop {
            match self.root.open(&at, flags) {
                Ok(dir) => break dir,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !at.as_os_str().is_empty() => {
                    // A link that leads nowhere is no place to make something.
                    missing.push(at.file_name().unwrap_or_default().to_owned());
                    at.pop();
                }
                Err(error) => return Err(fail(error)),
            }
        };
        let last = missing.len();
        for (count, name) in missing.into_iter().rev().enumerate() {
            mkdirat(&dir, &name, Mode::from_raw_mode(0o755)).map_err(|error| fail(error.into()))?;
            at.push(&name);
            dir = openat(&dir, &name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
                .map_err(|error| fail(error.into()))?;
            let item = looks.filter(|_| count + 1 == last);
            match item {
                Some(item) => self.look(&dir, item, at.clone())?,
                None => {
                    let (uid, gid) = self.to.owner.unwrap_or((0, 0));
                    rustix::fs::fchown(&dir, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                        .and_then(|()| rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o755)))
                        .map_err(|error| fail(error.into()))?;
                    if let Some(latest) = self.to.latest {
                        self.times.push((at.clone(), self.limited(latest, 0)));
                    }
                }
            }
        }
        Ok(dir)
    }

    /// A directory below the base that was written before.
    fn dir(&mut self, path: &Path) -> Result<OwnedFd, BuildError> {
        while let Some((open, _)) = self.open.last() {
            if path.starts_with(open) {
                break;
            }
            self.open.pop();
        }
        let Some((open, fd)) = self.open.last() else {
            return Err(BuildError::Engine("a copy has lost its destination".into()));
        };
        let fail = |error: Errno| BuildError::io("open the directory", self.base.join(path), error);
        let mut dir = fd.try_clone().map_err(|error| BuildError::io("open the directory", path, error))?;
        let mut at = open.clone();
        let rest: Vec<_> = path.strip_prefix(open).unwrap_or(path).iter().map(OsStr::to_owned).collect();
        let mut more = Vec::new();
        for name in rest {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            dir = openat(&dir, &name, flags, Mode::empty()).map_err(fail)?;
            at.push(&name);
            more.push((at.clone(), dir.try_clone().map_err(|error| BuildError::io("open", &at, error))?));
        }
        self.open.extend(more);
        Ok(dir)
    }

    fn item(&mut self, from: &Root, item: &Item, target: &Path) -> Result<(), BuildError> {
        let Some(name) = target.file_name() else {
            // The contents of a directory go to the base, which is there.
            return Ok(());
        };
        let parent = self.dir(target.parent().unwrap_or(Path::new("")))?;
        // What is copied over a file takes its place.
        self.left.retain(|left| left.target != target);
        let place = Path::new("/").join(&self.base).join(target);
        let fail = |error: Errno| BuildError::io("write", &place, error);
        match item.kind {
            Kind::Directory => {
                match mkdirat(&parent, name, Mode::from_raw_mode(0o700)) {
                    Ok(()) => {}
                    Err(Errno::EXIST) => {
                        let there = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
                        if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
                            return Ok(());
                        }
                        return Err(BuildError::Request(format!(
                            "cannot copy a directory to {}: it is no directory",
                            place.display()
                        )));
                    }
                    Err(error) => return Err(fail(error)),
                }
                let dir = self.dir(target)?;
                if self.to.xattrs {
                    self.xattrs(from, item, &dir)?;
                }
                self.look(&dir, item, self.base.join(target))
            }
            Kind::File => self.file(from, item, &parent, name, target),
            Kind::Symlink => {
                let link = read_link(from, item)?;
                self.clear(&parent, name)?;
                rustix::fs::symlinkat(OsStr::from_bytes(&link), &parent, name).map_err(fail)?;
                let (uid, gid) = self.owner(item);
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(&parent, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)
                    .and_then(|()| rustix::fs::utimensat(&parent, name, &self.item_times(&item.stat), flags))
                    .map_err(fail)
            }
            Kind::Node => {
                self.clear(&parent, name)?;
                let kind = FileType::from_raw_mode(item.stat.st_mode);
                rustix::fs::mknodat(&parent, name, kind, Mode::from_raw_mode(0o600), item.stat.st_rdev)
                    .map_err(fail)?;
                let (uid, gid) = self.owner(item);
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(&parent, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)
                    .and_then(|()| {
                        rustix::fs::chmodat(&parent, name, Mode::from_raw_mode(self.mode(item)), AtFlags::empty())
                    })
                    .and_then(|()| rustix::fs::utimensat(&parent, name, &self.item_times(&item.stat), flags))
                    .map_err(fail)
            }
        }
    }

    fn file(
        &mut self,
        from: &Root,
        item: &Item,
        parent: &OwnedFd,
        name: &OsStr,
        target: &Path,
    ) -> Result<(), BuildError> {
        let place = Path::new("/").join(&self.base).join(target);
        let fail = |error: Errno| BuildError::io("write", &place, error);
        let identity = (item.stat.st_dev, item.stat.st_ino);
        if item.stat.st_nlink > 1
            && self.to.xattrs
            && let Some(first) = self.links.get(&identity).cloned()
        {
            self.clear(parent, name)?;
            let above = self.dir(first.parent().unwrap_or(Path::new("")))?;
            let first = first.file_name().unwrap_or_default();
            return rustix::fs::linkat(&above, first, parent, name, AtFlags::empty()).map_err(fail);
        }
        let source = from
            .open(&item.source, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)
            .map_err(|error| BuildError::io("read", &item.source, error))?;
        let file = self.create(parent, name)?;
        let (uid, gid) = self.owner(item);
        let as_it_is = self.to.share
            && item.stat.st_size >= WORTH_SHARING
            && (uid, gid, self.mode(item)) == (item.stat.st_uid, item.stat.st_gid, item.stat.st_mode & 0o7777)
            && self.to.latest.is_none_or(|latest| item.stat.st_mtime < latest)
            // One layer has no file twice that was copied twice.
            && self.left.iter().all(|left| left.identity != identity);
        let above = self.base.join(target.parent().unwrap_or(Path::new("")));
        let as_it_is = if as_it_is { self.root.resolve(&above).ok() } else { None };
        let as_it_is = as_it_is.map(|above| cleaned(&above).join(name));
        if as_it_is.is_none() {
            data(&source, &file).map_err(|error| BuildError::io("write", &place, error))?;
        }
        if self.to.xattrs {
            self.xattrs(from, item, &file)?;
        }
        rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(fail)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(self.mode(item))).map_err(fail)?;
        let times = self.item_times(&item.stat);
        rustix::fs::futimens(&file, &times).map_err(fail)?;
        if let Some(place) = as_it_is {
            self.left.push(Left { source, identity, target: target.to_owned(), place, times });
        }
        if item.stat.st_nlink > 1 {
            self.links.insert(identity, target.to_owned());
        }
        Ok(())
    }

    /// A new, empty file; a file that is there already goes.
    fn create(&self, parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, BuildError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || openat(parent, name, flags, Mode::from_raw_mode(0o600));
        match open() {
            Err(Errno::EXIST) => {
                self.clear(parent, name)?;
                open()
            }
            other => other,
        }
        .map_err(|error| BuildError::io("create", self.base.join(name), error))
    }

    /// Takes away what is in the place of something that is no directory.
    fn clear(&self, parent: &OwnedFd, name: &OsStr) -> Result<(), BuildError> {
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Err(BuildError::Request(format!(
                "cannot copy a file to {}: it is a directory",
                Path::new("/").join(&self.base).join(name).display()
            ))),
            Err(error) => Err(BuildError::io("replace", self.base.join(name), error)),
        }
    }

    /// Gives a new directory its owner and mode; its times come at the end.
    fn look(&mut self, dir: &OwnedFd, item: &Item, path: PathBuf) -> Result<(), BuildError> {
        let (uid, gid) = self.owner(item);
        rustix::fs::fchown(dir, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .and_then(|()| rustix::fs::fchmod(dir, Mode::from_raw_mode(self.mode(item))))
            .map_err(|error| BuildError::io("write", &path, error))?;
        self.times.push((path, self.item_times(&item.stat)));
        Ok(())
    }

    fn owner(&self, item: &Item) -> (u32, u32) {
        self.to.owner.unwrap_or((item.stat.st_uid, item.stat.st_gid))
    }

    fn mode(&self, item: &Item) -> u32 {
        let mode = item.stat.st_mode & 0o7777;
        self.to
            .mode
            .as_ref()
            .filter(|_| !item.above)
            .map_or(mode, |change| change.apply(mode, item.kind == Kind::Directory))
    }

    fn item_times(&self, stat: &Stat) -> Timestamps {
        self.limited(stat.st_mtime, stat.st_mtime_nsec as i64)
    }

    fn limited(&self, seconds: i64, nanos: i64) -> Timestamps {
        let time = match self.to.latest {
            Some(latest) if seconds >= latest => Timespec { tv_sec: latest, tv_nsec: 0 },
            _ => Timespec { tv_sec: seconds, tv_nsec: nanos },
        };
        Timestamps { last_access: time, last_modification: time }
    }

    fn xattrs(&self, from: &Root, item: &Item, to: &OwnedFd) -> Result<(), BuildError> {
        let fail = |error: io::Error| BuildError::io("copy the attributes of", &item.source, error);
        let flags = if item.kind == Kind::Directory { OFlags::DIRECTORY } else { OFlags::NONBLOCK };
        let source = from.open(&item.source, OFlags::RDONLY | OFlags::NOFOLLOW | flags).map_err(fail)?;
        let mut list = vec![0; 4096];
        let length = loop {
            match rustix::fs::flistxattr(&source, &mut list[..]) {
                Ok(length) => break length,
                Err(Errno::RANGE) if list.len() < 1 << 20 => list.resize(list.len() * 4, 0),
                Err(Errno::NOTSUP) => return Ok(()),
                Err(error) => return Err(fail(error.into())),
            }
        };
        for name in list[..length].split(|byte| *byte == 0) {
            let own = [&b"trusted.overlay."[..], b"user.overlay.", b"security.selinux", b"security.ima"];
            if name.is_empty() || own.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            let mut value = vec![0; 64 << 10];
            let Ok(length) = rustix::fs::fgetxattr(&source, OsStr::from_bytes(name), &mut value[..]) else { continue };
            match rustix::fs::fsetxattr(to, OsStr::from_bytes(name), &value[..length], XattrFlags::empty()) {
                Ok(()) | Err(Errno::NOTSUP) => {}
                Err(error) => return Err(fail(error.into())),
            }
        }
        Ok(())
    }

    /// Directories get their times, now that nothing more is written below them.
    fn finish(self) -> Result<(), BuildError> {
        for (path, times) in self.times.iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let dir = self.root.open(path, flags).map_err(|error| BuildError::io("open", path, error))?;
            rustix::fs::futimens(&dir, times).map_err(|error| BuildError::io("write", path, error))?;
        }
        Ok(())
    }
}
