//! A hint to the file system: what lies in a directory belongs to many owners.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{IFlags, Mode, OFlags};

/// Has ext4 without a journal put each subdirectory of `dir` in a place of its own (its attribute `T`, chattr(1)), as
/// it does with those of `/home`. There each new file first passes all the inodes of its group that were freed in the
/// last minutes: layers and containers are made and removed as a whole, and packed into one group they make each
/// other slow. With a journal there is no such search, and choosing a place has a cost; other file systems do not know
/// the attribute. So it is no error if it is not set.
pub fn keep_apart(dir: &Path) {
    if has_journal(dir) {
        return;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(dir) = rustix::fs::open(dir, flags, Mode::empty()) else { return };
    if let Ok(now) = rustix::fs::ioctl_getflags(&dir)
        && !now.contains(IFlags::TOPDIR)
    {
        let _ = rustix::fs::ioctl_setflags(&dir, now | IFlags::TOPDIR);
    }
}

/// Whether the kernel keeps a journal for the disk that `path` is on (`/proc/fs/jbd2/<disk>-<inode>`).
fn has_journal(path: &Path) -> bool {
    let Ok(look) = std::fs::metadata(path) else { return true };
    let (major, minor) = (rustix::fs::major(look.dev()), rustix::fs::minor(look.dev()));
    let Ok(disk) = std::fs::read_link(format!("/sys/dev/block/{major}:{minor}")) else { return true };
    let Some(disk) = disk.file_name().map(|name| format!("{}-", name.to_string_lossy())) else { return true };
    let journals = std::fs::read_dir("/proc/fs/jbd2").into_iter().flatten().flatten();
    journals.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(&disk))
}
