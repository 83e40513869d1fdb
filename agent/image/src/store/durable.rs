//! Writes that survive a power cut, and how to tell afterwards which did.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Replaces a file as a whole: after a power cut there is the old one or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_at_once(path, bytes, true)
}

/// Replaces a file as a whole, as far as other processes see; with `durable` also after a power cut.
pub(crate) fn write_at_once(path: &Path, bytes: &[u8], durable: bool) -> Result<(), Error> {
    let dir = path.parent().ok_or_else(|| Error::io("write", path, io::ErrorKind::InvalidInput.into()))?;
    let mut temp =
        tempfile::Builder::new().prefix(".tmp-").tempfile_in(dir).map_err(|e| Error::io("write", path, e))?;
    io::Write::write_all(&mut temp, bytes).map_err(|e| Error::io("write", path, e))?;
    if durable {
        temp.as_file().sync_all().map_err(|e| Error::io("write", path, e))?;
    }
    temp.persist(path).map_err(|e| Error::io("write", path, e.error))?;
    if durable { sync_dir(dir) } else { Ok(()) }
}

/// Removes what interrupted writes left in a directory.
pub(crate) fn remove_temporaries(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".tmp-") {
            drop(fs::remove_file(entry.path()));
        }
    }
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    fs::File::open(dir).and_then(|d| d.sync_all()).map_err(|e| Error::io("write", dir, e))
}

/// Writes everything of the file system that holds `path` to its disk.
pub(crate) fn sync_file_system(path: &Path) -> Result<(), Error> {
    let dir = fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
    rustix::fs::syncfs(dir.file()).map_err(|e| Error::io("write", path, e.into()))
}

/// While machine and mounted file system stay the same, what was written can be read back even if it never reached the
/// disk. Something that was recorded before it was synced is believed only in the epoch of its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    boot: String,
    device: u64,
}

impl Epoch {
    /// The present epoch of the file system that holds `path`.
    pub(crate) fn now(path: &Path) -> Result<Epoch, Error> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_err(|e| Error::io("read", "/proc/sys/kernel/random/boot_id", e))?;
        let device = fs::metadata(path).map_err(|e| Error::io("look at", path, e))?.dev();
        Ok(Epoch { boot: boot.trim().to_owned(), device })
    }
}
