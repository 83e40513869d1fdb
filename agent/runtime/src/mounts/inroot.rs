//! Paths inside a container's root, resolved so that nothing in the image can lead out of it.
//!
//! Every path is opened by `openat2` with `RESOLVE_IN_ROOT`: symbolic links and `..` are followed as the
//! container would follow them, at the moment of opening; what is then done is done to the descriptor.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

/// Symbolic links followed before giving up, as the kernel has it.
const MAX_LINKS: usize = 40;

/// Opens `path` as it is seen inside `root`.
pub(crate) fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    // `openat2` gives EAGAIN when something was renamed meanwhile and it could not prove that the path
    // stayed inside; a writer that never stops must not hold us forever.
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    for _ in 0..128 {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

/// What to make where a path does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A directory.
    Directory,
    /// An empty file in a directory that is made too.
    File,
}

/// Opens (`O_PATH`) what `path` leads to inside `root`, made if it does not exist.
pub(crate) fn open_or_make(root: BorrowedFd<'_>, path: &Path, missing: Missing) -> io::Result<OwnedFd> {
    match open(root, path, OFlags::PATH) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => make(root, path, missing, 0),
        other => other,
    }
}

fn make(root: BorrowedFd<'_>, path: &Path, missing: Missing, links: usize) -> io::Result<OwnedFd> {
    if links > MAX_LINKS {
        return Err(io::Error::from_raw_os_error(libc::ELOOP));
    }
    let mut here = open(root, Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
    // The components walked so far hold no symbolic link and no `..`, so a relative link begins from them.
    let mut walked = PathBuf::from("/");
    let components: Vec<OsString> = normal_components(path);
    for (index, name) in components.iter().enumerate() {
        let last = index + 1 == components.len();
        if name == ".." {
            walked.pop();
            here = open(root, &walked, OFlags::PATH | OFlags::DIRECTORY)?;
            continue;
        }
        let nofollow = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = match rustix::fs::openat(&here, name.as_os_str(), nofollow, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => make_one(here.as_fd(), name, last && missing == Missing::File)?,
            other => other?,
        };
        if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) == FileType::Symlink {
            let target = rustix::fs::readlinkat(&found, "", Vec::new())?.into_bytes();
            let mut next = walked.join(OsString::from_vec(target));
            next.extend(&components[index + 1..]);
            // Either it exists as a whole, or it is walked again with the link's text in place.
            return match open(root, &next, OFlags::PATH) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => make(root, &next, missing, links + 1),
                other => other,
            };
        }
        walked.push(name);
        here = found;
    }
    Ok(here)
}

/// Makes one directory or empty file; one that another process has made meanwhile is as good.
fn make_one(parent: BorrowedFd<'_>, name: &OsStr, file: bool) -> io::Result<OwnedFd> {
    let made = if file {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
    } else {
        rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))
    };
    match made {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

fn normal_components(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Opens the directory that holds `path` (made if missing) and gives the last name. The name itself is not
/// followed. `None` for the root itself.
pub(crate) fn open_parent<'p>(root: BorrowedFd<'_>, path: &'p Path) -> io::Result<Option<(OwnedFd, &'p OsStr)>> {
    let Some(name) = path.file_name() else {
        return Ok(None);
    };
    let parent = path.parent().unwrap_or(Path::new("/"));
    Ok(Some((open_or_make(root, parent, Missing::Directory)?, name)))
}

/// Whether what `fd` is open on is a directory.
pub(crate) fn is_directory(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::Directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap();
        (dir, fd)
    }

    #[test]
    fn missing_directories_and_files_are_made() {
        let (dir, root) = root();
        open_or_make(root.as_fd(), Path::new("/a/b/c"), Missing::Directory).unwrap();
        open_or_make(root.as_fd(), Path::new("a/b/f"), Missing::File).unwrap();
        assert!(dir.path().join("a/b/c").is_dir());
        assert!(dir.path().join("a/b/f").is_file());
    }

    #[test]
    fn links_are_followed_inside_the_root_only() {
        let (dir, root) = root();
        symlink("/etc", dir.path().join("abs")).unwrap();
        symlink("../../../../up", dir.path().join("rel")).unwrap();
        symlink("/gone/there", dir.path().join("dangling")).unwrap();
        open_or_make(root.as_fd(), Path::new("/abs/x"), Missing::File).unwrap();
        open_or_make(root.as_fd(), Path::new("/rel/y"), Missing::Directory).unwrap();
        open_or_make(root.as_fd(), Path::new("/dangling"), Missing::File).unwrap();
        open_or_make(root.as_fd(), Path::new("/../../esc"), Missing::Directory).unwrap();
        assert!(dir.path().join("etc/x").is_file());
        assert!(dir.path().join("up/y").is_dir());
        assert!(dir.path().join("gone/there").is_file());
        assert!(dir.path().join("esc").is_dir());
        assert!(fs::symlink_metadata("/etc/x").is_err());
    }

    #[test]
    fn a_loop_of_links_is_refused() {
        let (dir, root) = root();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        let error = open_or_make(root.as_fd(), Path::new("/a/x"), Missing::File).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }
}
