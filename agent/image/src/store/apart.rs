//! A hint to the file system: what lies in a directory belongs to many owners.

use std::path::Path;

use rustix::fs::{IFlags, Mode, OFlags};

/// Has ext4 put each subdirectory of `dir` in a place of its own (ext4's attribute `T`, chattr(1)), as it does with
/// those of `/home`. Layers and containers are made and removed as a whole and side by side: packed into one block
/// group they are in each other's way, and where ext4 runs without a journal each new file first passes all the
/// inodes in its group that were freed in the last minute. Other file systems do not know the attribute and need no
/// hint; so it is no error if it cannot be set.
pub fn keep_apart(dir: &Path) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(dir) = rustix::fs::open(dir, flags, Mode::empty()) else { return };
    if let Ok(now) = rustix::fs::ioctl_getflags(&dir)
        && !now.contains(IFlags::TOPDIR)
    {
        let _ = rustix::fs::ioctl_setflags(&dir, now | IFlags::TOPDIR);
    }
}
