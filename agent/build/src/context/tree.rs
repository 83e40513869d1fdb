//! A directory that holds what a manifest says.
//!
//! A file is never changed once it is complete, as layers may share it. Paths are safe to use as they are: nobody else writes here, each parent is a directory by the manifest, and what is
//! there is what the manifest before said.

use std::{
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::{ContextError, Entry, EntryKind, Manifest, manifest::Change};

/// Removes and makes all but files' content.
pub(super) fn prepare(root: &Path, manifest: &Manifest, change: &Change) -> Result<(), ContextError> {
    for path in &change.remove {
        let path = root.join(path);
        let is_directory =
            path.symlink_metadata().map(|meta| meta.is_dir()).map_err(ContextError::io("read", &path))?;
        let removed = if is_directory { std::fs::remove_dir(&path) } else { std::fs::remove_file(&path) };
        removed.map_err(ContextError::io("remove", &path))?;
    }
    for entry in change.make.iter().filter_map(|index| manifest.entries.get(*index)) {
        let path = root.join(&entry.path);
        match &entry.kind {
            EntryKind::Link { target } => {
                std::os::unix::fs::symlink(target, &path).map_err(ContextError::io("make", &path))?;
                set_time(&path, entry.modified)?;
            }
            _ => std::fs::create_dir(&path).map_err(ContextError::io("make", &path))?,
        }
    }
    Ok(())
}

/// Writes one file's content.
pub(super) fn write_file(
    root: &Path,
    entry: &Entry,
    size: u64,
    from: &mut impl Read,
    buffer: &mut [u8],
) -> Result<(), ContextError> {
    let path = root.join(&entry.path);
    let open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = open.map_err(ContextError::io("make", &path))?;
    let mut left = size;
    while left > 0 {
        let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = from.read(&mut buffer[..room]).map_err(ContextError::io("receive", &path))?;
        if read == 0 {
            return Err(ContextError::Cut(entry.path.clone()));
        }
        file.write_all(&buffer[..read]).map_err(ContextError::io("write", &path))?;
        left -= read as u64;
    }
    let mode = std::fs::Permissions::from_mode(entry.mode);
    file.set_permissions(mode).map_err(ContextError::io("set the mode of", &path))?;
    set_time(&path, entry.modified)
}

/// Sets modes and times that the content's arrival changed or that changed alone; directories from the deepest up.
pub(super) fn finish(root: &Path, manifest: &Manifest, change: &Change) -> Result<(), ContextError> {
    let moved: std::collections::BTreeSet<&str> = change
        .remove
        .iter()
        .map(String::as_str)
        .chain(
            change
                .make
                .iter()
                .chain(&change.files)
                .filter_map(|index| Some(manifest.entries.get(*index)?.path.as_str())),
        )
        .filter_map(|path| path.rsplit_once('/').map(|(parent, _)| parent))
        .collect();
    let listed: std::collections::BTreeSet<usize> = change.make.iter().chain(&change.touch).copied().collect();
    for (index, entry) in manifest.entries.iter().enumerate().rev() {
        let is_link = matches!(entry.kind, EntryKind::Link { .. });
        if is_link || !(listed.contains(&index) || moved.contains(entry.path.as_str())) {
            continue;
        }
        let path: PathBuf = root.join(&entry.path);
        own(root, &path)?;
        let mode = std::fs::Permissions::from_mode(entry.mode);
        std::fs::set_permissions(&path, mode).map_err(ContextError::io("set the mode of", &path))?;
        set_time(&path, entry.modified)?;
    }
    Ok(())
}

/// A file that a layer shares is replaced by one that looks the same.
fn own(root: &Path, path: &Path) -> Result<(), ContextError> {
    let meta = path.symlink_metadata().map_err(ContextError::io("read", path))?;
    if !meta.is_file() || meta.nlink() == 1 {
        return Ok(());
    }
    // Beside the tree, where no name of the tree's is in the way.
    let fresh = root.with_extension("own");
    std::fs::copy(path, &fresh).map_err(ContextError::io("copy", path))?;
    std::fs::rename(&fresh, path).map_err(ContextError::io("replace", path))
}

fn set_time(path: &Path, modified: i64) -> Result<(), ContextError> {
    let time = Timespec { tv_sec: modified.div_euclid(1_000_000_000), tv_nsec: modified.rem_euclid(1_000_000_000) };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| ContextError::io("set the time of", path)(error.into()))
}
