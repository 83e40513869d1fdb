//! Removal of whole trees without following anything, however deep they are.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

/// Deeper trees are cut: the part below is moved to the top and removed from there, so descriptors never run out.
const MAX_DEPTH: usize = 100;

struct Level {
    dir: OwnedFd,
    name: CString,
    children: Vec<CString>,
}

/// Removes what `name` names in `parent`, with all below it. It is no error if there is nothing.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let name = CString::new(name)?;
    match unlinkat(parent, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e.into()),
    }
    let mut levels = match enter(parent, name) {
        Ok(level) => vec![level],
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let mut moved = 0u64;
    while let Some(level) = levels.last_mut() {
        let Some(child) = level.children.pop() else {
            let Some(done) = levels.pop() else { break };
            let above = levels.last().map_or(parent, |l| l.dir.as_fd());
            match unlinkat(above, &done.name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(e.into()),
            }
            continue;
        };
        if levels.len() < MAX_DEPTH {
            let here = levels.last().map_or(parent, |l| l.dir.as_fd());
            match enter(here, child) {
                Ok(next) => levels.push(next),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        } else {
            moved += 1;
            let shallow = CString::new(format!(".removing-{}-{moved}", rustix::process::getpid().as_raw_nonzero()))?;
            let (top, here) = (levels[0].dir.as_fd(), levels[levels.len() - 1].dir.as_fd());
            renameat(here, &child, top, &shallow)?;
            levels[0].children.push(shallow);
        }
    }
    Ok(())
}

/// Opens a directory, removes all in it that is no directory, and lists those that are.
fn enter(parent: BorrowedFd<'_>, name: CString) -> io::Result<Level> {
    let dir =
        openat(parent, &name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let mut children = Vec::new();
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let child = entry.file_name();
        if matches!(child.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            children.push(child.to_owned());
            continue;
        }
        match unlinkat(&dir, child, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => children.push(child.to_owned()),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(Level { dir, name, children })
}
