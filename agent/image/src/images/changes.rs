//! What changed in a container since its image.

use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Change, ChangeKind, Images, Snapshot, blocking};
use crate::error::Error;
use crate::overlay::{Merge, mount_detached};
use crate::unpack::lossy;

impl Images {
    /// What changed in a container since its image.
    pub async fn diff(&self, container_id: &str) -> Result<Vec<Change>, Error> {
        let snapshot = self.find_snapshot(container_id)?;
        let scratch = self.inner.dirs.root().join("trash");
        blocking(move || {
            let Snapshot { lower, upper, .. } = snapshot;
            let below = if lower.is_empty() {
                None
            } else {
                Some(mount_detached(&Merge { lower: &lower, upper: None, volatile: false }, &scratch)?)
            };
            let own = rustix::fs::open(&upper, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|e| Error::io("open", &upper, e.into()))?;
            let mut changes = Vec::new();
            compare(own, below, &mut changes).map_err(|e| Error::io("compare", &upper, e.into()))?;
            changes.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(changes)
        })
        .await
    }
}

/// A directory of the container with the image's of the same path.
struct Level {
    own: OwnedFd,
    below: Option<OwnedFd>,
    path: String,
    left: Vec<CString>,
}

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Compares two trees; a loop, as what a container makes can be deep.
fn compare(own: OwnedFd, below: Option<OwnedFd>, changes: &mut Vec<Change>) -> Result<(), Errno> {
    let mut levels = vec![enter(own, below, String::new(), changes)?];
    while let Some(level) = levels.last_mut() {
        let Some(child) = level.left.pop() else {
            levels.pop();
            continue;
        };
        let dir = match rustix::fs::openat(&level.own, &child, DIR, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            other => other?,
        };
        let below = level.below.as_ref().and_then(|b| rustix::fs::openat(b, &child, DIR, Mode::empty()).ok());
        let path = format!("{}/{}", level.path, lossy(child.to_bytes()));
        levels.push(enter(dir, below, path, changes)?);
    }
    Ok(())
}

/// Compares what lies in one directory, and lists the directories in it.
fn enter(own: OwnedFd, below: Option<OwnedFd>, path: String, changes: &mut Vec<Change>) -> Result<Level, Errno> {
    let mut left = Vec::new();
    let mut here = HashSet::new();
    for entry in Dir::read_from(&own)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        here.insert(name.to_bytes().to_vec());
        let shown = format!("{path}/{}", lossy(name.to_bytes()));
        let stat = match rustix::fs::statat(&own, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        let was = below.as_ref().and_then(|b| rustix::fs::statat(b, name, AtFlags::SYMLINK_NOFOLLOW).ok());
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_dir = kind == FileType::Directory;
        if is_dir {
            left.push(name.to_owned());
        }
        let change = match &was {
            Some(_) if kind == FileType::CharacterDevice && stat.st_rdev == 0 => ChangeKind::Deleted,
            None if kind == FileType::CharacterDevice && stat.st_rdev == 0 => continue,
            None => ChangeKind::Added,
            Some(was) if is_dir || differs(was, &stat) => ChangeKind::Modified,
            Some(_) => continue,
        };
        changes.push(Change { path: shown, kind: change });
    }
    // What an opaque directory does not have itself is deleted.
    if let Some(below) = &below
        && is_opaque(&own)
    {
        for entry in Dir::read_from(below)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") && !here.contains(name) {
                changes.push(Change { path: format!("{path}/{}", lossy(name)), kind: ChangeKind::Deleted });
            }
        }
        // And nothing of the image's shows below it.
        return Ok(Level { own, below: None, path, left });
    }
    Ok(Level { own, below, path, left })
}

/// Overlayfs copies a file up before it is known whether it will change; one that is the same is no change.
fn differs(a: &Stat, b: &Stat) -> bool {
    (a.st_mode, a.st_uid, a.st_gid, a.st_rdev, a.st_size, a.st_mtime, a.st_mtime_nsec)
        != (b.st_mode, b.st_uid, b.st_gid, b.st_rdev, b.st_size, b.st_mtime, b.st_mtime_nsec)
}

fn is_opaque(dir: &OwnedFd) -> bool {
    let mut value = [0u8; 1];
    matches!(rustix::fs::fgetxattr(dir, "trusted.overlay.opaque", &mut value[..]), Ok(1) if value == *b"y")
}
