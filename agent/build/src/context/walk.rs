//! The client's side: what a directory holds, and its files as a stream.

use std::{
    io::{Read, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{ContextError, Entry, EntryKind, Manifest};
use crate::dockerfile::{IgnoreFile, Matches};

/// A file changed so short a time ago may change again without its times showing it.
const SETTLED_NS: i128 = 20_000_000;

/// Lists a directory without what `.dockerignore` excludes. Links are not followed; sockets are left out.
///
/// # Errors
/// What cannot be read, names that are not UTF-8, devices and pipes.
pub fn walk(root: &Path, ignore: &IgnoreFile) -> Result<Manifest, ContextError> {
    let mut entries = Vec::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as i128);
    directory(root, "", &Matches::default(), ignore, now, &mut entries)?;
    Ok(Manifest { entries })
}

fn directory(
    path: &Path,
    prefix: &str,
    matches: &Matches,
    ignore: &IgnoreFile,
    now: i128,
    entries: &mut Vec<Entry>,
) -> Result<(), ContextError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(ContextError::io("list", path))? {
        names.push(entry.map_err(ContextError::io("list", path))?.file_name());
    }
    names.sort();
    for name in names {
        let full = path.join(&name);
        let Some(name) = name.to_str() else {
            return Err(ContextError::Kind { path: full, what: "a name that is not UTF-8" });
        };
        let relative = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let below = ignore.step(matches, &relative);
        let skipped = ignore.ignores(&below);
        let meta = match full.symlink_metadata() {
            Ok(meta) => meta,
            // Gone since the listing, or not ours to see and not wanted either.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound || skipped => continue,
            Err(source) => return Err(ContextError::io("read", &full)(source)),
        };
        let kind = meta.file_type();
        if skipped && !(kind.is_dir() && ignore.may_keep_below(&relative)) {
            continue;
        }
        let modified = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
        let mode = meta.mode() & 0o7777;
        if kind.is_dir() {
            let at = entries.len();
            entries.push(Entry { path: relative.clone(), kind: EntryKind::Directory, mode, modified });
            directory(&full, &relative, &below, ignore, now, entries)?;
            // An excluded directory is there only for what is kept below it.
            if skipped && entries.len() == at + 1 {
                entries.pop();
            }
            continue;
        }
        let kind = if kind.is_file() {
            EntryKind::File { size: meta.len(), stamp: stamp(&meta, now) }
        } else if kind.is_symlink() {
            let target = std::fs::read_link(&full).map_err(ContextError::io("read", &full))?;
            match target.into_os_string().into_string() {
                Ok(target) => EntryKind::Link { target },
                Err(_) => return Err(ContextError::Kind { path: full, what: "a link to a name that is not UTF-8" }),
            }
        } else if kind.is_socket() {
            continue;
        } else {
            let what = if kind.is_fifo() { "a named pipe" } else { "a device" };
            return Err(ContextError::Kind { path: full, what });
        };
        entries.push(Entry { path: relative, kind, mode, modified });
    }
    Ok(())
}

/// 0 for a file that may still be changing within the clock's grain.
fn stamp(meta: &std::fs::Metadata, now: i128) -> u64 {
    let changed = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
    if now - changed < SETTLED_NS {
        return 0;
    }
    // FNV-1a: fast, and nobody gains from a collision in the own context.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let parts = [
        meta.dev(),
        meta.ino(),
        meta.len(),
        meta.mtime() as u64,
        meta.mtime_nsec() as u64,
        meta.ctime() as u64,
        meta.ctime_nsec() as u64,
    ];
    for byte in parts.iter().flat_map(|part| part.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash.max(1)
}

/// Writes the files that are asked for: of each its index, its length and its bytes; at last the index of none.
///
/// # Errors
/// A file that cannot be read, or one that shrinks meanwhile.
pub fn write_files(
    root: &Path,
    manifest: &Manifest,
    missing: &[u32],
    to: &mut impl Write,
    sent: &mut dyn FnMut(u64),
) -> Result<(), ContextError> {
    // More than writers gather, so that large files are not copied on the way.
    let mut buffer = vec![0; 512 << 10];
    for index in missing {
        let Some(entry) = manifest.entries.get(*index as usize) else {
            return Err(ContextError::Stream(format!("file {index} was asked for, and there is none")));
        };
        let path = root.join(&entry.path);
        let mut file = std::fs::File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ContextError::Changed { path: path.clone(), how: "it is gone" },
            _ => ContextError::io("open", &path)(error),
        })?;
        let mut left = file.metadata().map_err(ContextError::io("read", &path))?.len();
        let send = ContextError::io("send", &path);
        to.write_all(&index.to_be_bytes()).and_then(|()| to.write_all(&left.to_be_bytes())).map_err(send)?;
        while left > 0 {
            let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = file.read(&mut buffer[..room]).map_err(ContextError::io("read", &path))?;
            if read == 0 {
                return Err(ContextError::Changed { path, how: "it became shorter" });
            }
            to.write_all(&buffer[..read]).map_err(ContextError::io("send", &path))?;
            left -= read as u64;
            sent(read as u64);
        }
    }
    to.write_all(&u32::MAX.to_be_bytes()).and_then(|()| to.flush()).map_err(ContextError::io("send", root))
}
