//! Bytes of files: taken over from where they are, if that can be, and else copied.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, openat};
use rustix::io::Errno;

use super::root::Root;
use crate::BuildError;

/// A file whose content is still to come.
pub(crate) struct Left {
    pub source: OwnedFd,
    pub identity: (u64, u64),
    /// As the selection calls it.
    pub target: PathBuf,
    /// Relative to the tree's root, without links.
    pub place: PathBuf,
    pub times: Timestamps,
}

/// Smaller files are copied in no time.
pub(super) const WORTH_SHARING: i64 = 1 << 20;

/// Puts files where they were left empty: the sources' own, so that nothing is written, or else their bytes. `layer` is
/// the directory that the tree wrote to; nothing is mounted over it any more.
///
/// # Errors
/// What cannot be written.
pub(crate) fn share(left: &[Left], layer: &Path) -> Result<(), BuildError> {
    let root = Root::at(layer).map_err(|error| BuildError::io("open", layer, error))?;
    for Left { source, place, times, .. } in left {
        let fail = |error: io::Error| BuildError::io("write", Path::new("/").join(place), error);
        let parent =
            root.open(place.parent().unwrap_or(Path::new("")), OFlags::RDONLY | OFlags::DIRECTORY).map_err(fail)?;
        let name = place.file_name().unwrap_or_default();
        let before = rustix::fs::fstat(&parent).map_err(|error| fail(error.into()))?;
        // A name of its own first: the empty file goes only when there is another for its place.
        let fresh = OsStr::new(".hoist-shared");
        let linked = rustix::fs::linkat(source, "", &parent, fresh, AtFlags::EMPTY_PATH)
            .and_then(|()| rustix::fs::renameat(&parent, fresh, &parent, name));
        match linked {
            Ok(()) => {}
            Err(_) => {
                let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = openat(&parent, name, flags, Mode::empty()).map_err(|error| fail(error.into()))?;
                data(source, &file).map_err(fail)?;
                rustix::fs::futimens(&file, times).map_err(|error| fail(error.into()))?;
            }
        }
        let own = Timestamps {
            last_access: Timespec { tv_sec: before.st_atime as _, tv_nsec: before.st_atime_nsec as _ },
            last_modification: Timespec { tv_sec: before.st_mtime as _, tv_nsec: before.st_mtime_nsec as _ },
        };
        rustix::fs::futimens(&parent, &own).map_err(|error| fail(error.into()))?;
    }
    Ok(())
}

/// Copies bytes in the cheapest way that the file systems know: sharing them, inside the kernel, by hand.
pub(super) fn data(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    const STEP: usize = 64 << 20;
    if rustix::fs::ioctl_ficlone(to.as_fd(), from.as_fd()).is_ok() {
        return Ok(());
    }
    let mut copied = 0u64;
    loop {
        match rustix::fs::copy_file_range(from, None, to, None, STEP) {
            Ok(0) => break,
            Ok(n) => copied += n as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP | Errno::PERM) if copied == 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    let mut buffer = vec![0; 256 << 10];
    loop {
        // Files of some kernel file systems say that they are empty to everything but a read.
        let n = match rustix::io::read(from, &mut buffer[..]) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            match rustix::io::write(to, rest) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
