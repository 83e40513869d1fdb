//! Files that are whole or not there.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes a file in one step; `durable` ones are there after a power cut too.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T, durable: bool) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = fs_err::File::create(&part)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    if durable {
        file.sync_all()?;
    }
    drop(file);
    fs_err::rename(&part, path)?;
    if durable && let Some(dir) = path.parent() {
        fs_err::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Has a file that was written before be there after a power cut too. Until then a cut may leave a part of it.
pub(crate) fn settle(path: &Path) -> io::Result<()> {
    fs_err::File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |dir| fs_err::File::open(dir)?.sync_all())
}

/// Reads a file; one that is not whole is as good as none.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
