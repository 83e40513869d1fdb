//! Directories below a root, found without ever leaving it.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

/// So many directories stay open. Archives are ordered by directory: nearly every entry finds its own here.
const KEPT_OPEN: usize = 64;

/// A root that cannot be left: paths are relative to it, and symbolic links on the way are resolved inside it.
pub struct SafeRoot<'a> {
    root: BorrowedFd<'a>,
    open: HashMap<Vec<u8>, Rc<OwnedFd>>,
}

impl<'a> SafeRoot<'a> {
    /// A root of that open directory.
    pub fn new(root: BorrowedFd<'a>) -> SafeRoot<'a> {
        SafeRoot { root, open: HashMap::new() }
    }

    /// Opens something below the root. The last component is followed unless `flags` has `NOFOLLOW`.
    pub fn open(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        let path: &[u8] = if path.is_empty() { b"." } else { path };
        let mut tries = 0;
        loop {
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            match openat2(self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // The kernel says so when something on the way was renamed meanwhile.
                Err(Errno::AGAIN | Errno::INTR) if tries < 100 => tries += 1,
                other => return other.map_err(io::Error::from),
            }
        }
    }

    /// Opens a directory, from those kept open if possible.
    pub fn dir(&mut self, path: &[u8]) -> io::Result<Rc<OwnedFd>> {
        if let Some(fd) = self.open.get(path) {
            return Ok(Rc::clone(fd));
        }
        let fd = Rc::new(self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?);
        if self.open.len() >= KEPT_OPEN {
            self.open.clear();
        }
        self.open.insert(path.to_vec(), Rc::clone(&fd));
        Ok(fd)
    }

    /// Opens a directory and makes it, and those above it, where missing. `made` hears of each that was made.
    pub fn ensure_dir(&mut self, path: &[u8], made: &mut dyn FnMut(&[u8])) -> io::Result<Rc<OwnedFd>> {
        // Down from the deepest directory that is there; a loop, as hostile names can be deep.
        let mut missing = Vec::new();
        let mut at = path;
        let mut dir = loop {
            match self.dir(at) {
                Ok(fd) => break fd,
                Err(e) if e.kind() == io::ErrorKind::NotFound && !at.is_empty() => {
                    let (parent, name) = split(at);
                    missing.push((at, name));
                    at = parent;
                }
                Err(e) => return Err(e),
            }
        };
        while let Some((path, name)) = missing.pop() {
            match mkdirat(dir.as_fd(), name, Mode::from_raw_mode(0o755)) {
                Ok(()) => made(path),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
            dir = self.dir(path)?;
        }
        Ok(dir)
    }

    /// Forgets the directories kept open: one of them may have been replaced.
    pub fn forget(&mut self) {
        self.open.clear();
    }
}

/// A clean path's directory and last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// The path without empty components, `.` and `..`; relative, without slashes at its ends. `None` if `..` leads above
/// the start.
pub(super) fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join(&b'/'))
}
