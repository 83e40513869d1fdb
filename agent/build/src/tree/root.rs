//! An open directory that cannot be left.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, openat, openat2};
use rustix::io::Errno;

/// Files such as `/etc/passwd` are small; a larger one is an attack.
const FILE_MAX: u64 = 8 << 20;

/// A root: paths are relative to it, symbolic links on the way are resolved inside it.
pub(crate) struct Root {
    fd: OwnedFd,
}

impl Root {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Opens a directory of the host as a root.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let fd = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Opens something below; the last component is followed unless `flags` has `NOFOLLOW`.
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let path = relative(path);
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            match openat2(&self.fd, &path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // The kernel says so when something on the way was renamed meanwhile.
                Err(Errno::AGAIN | Errno::INTR) if tries < 100 => tries += 1,
                other => return other.map_err(io::Error::from),
            }
        }
    }

    /// What is there, a last symbolic link followed.
    pub(crate) fn stat(&self, path: &Path) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(self.open(path, OFlags::PATH)?)?)
    }

    /// What is there, a last symbolic link not followed.
    pub(crate) fn lstat(&self, path: &Path) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(self.open(path, OFlags::PATH | OFlags::NOFOLLOW)?)?)
    }

    /// What a symbolic link says.
    pub(crate) fn read_link(&self, path: &Path) -> io::Result<OsString> {
        let link = self.open(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        Ok(OsString::from_vec(rustix::fs::readlinkat(&link, "", Vec::new())?.into_bytes()))
    }

    /// Whether there is a directory.
    pub(crate) fn is_dir(&self, path: &Path) -> bool {
        self.stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    }

    /// The path without symbolic links, relative to the root.
    ///
    /// # Errors
    /// When there is nothing.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let place = |fd: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let (own, found) = (place(&self.fd)?, place(&self.open(path, OFlags::PATH)?)?);
        // A mount that is attached nowhere calls its root "/".
        Ok(found.strip_prefix(&own).map_or_else(|_| relative(&found), Path::to_owned))
    }

    /// The contents of a small file, or `None` if there is none.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match self.open(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(fd) => {
                let mut bytes = Vec::new();
                std::fs::File::from(fd).take(FILE_MAX).read_to_end(&mut bytes)?;
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The names in an open directory, sorted by bytes.
pub(crate) fn names(dir: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    Ok(names)
}

/// The path without slashes at its front, `.` and `..` (which never lead above the root); `.` if nothing is left.
pub(crate) fn relative(path: &Path) -> PathBuf {
    let clean = cleaned(path);
    if clean.as_os_str().is_empty() { PathBuf::from(".") } else { clean }
}

/// As [`relative`], but empty for the root.
pub(crate) fn cleaned(path: &Path) -> PathBuf {
    let mut parts: Vec<&OsStr> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::ParentDir => drop(parts.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    parts.iter().collect()
}
