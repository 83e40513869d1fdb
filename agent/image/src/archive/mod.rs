//! Directories become tar streams: for copying out of containers, exporting and committing.
//!
//! Owners, modes, times to the nanosecond, hard links, devices, pipes and extended attributes are kept. Nothing is
//! followed and nothing outside of the root is opened, so it is safe for trees that change meanwhile.

mod walk;

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use fs_err as fs;

use crate::error::Error;
use crate::tarball::TarWriter;

/// How to archive.
#[derive(Debug, Clone, Default)]
pub struct ArchiveOptions {
    /// The name of the tree's root in the archive; its contents are at the archive's top when empty.
    pub name: Vec<u8>,
    /// Overlayfs' marks of what is deleted become whiteouts, as in image layers.
    pub whiteouts: bool,
    /// Follow the path itself if it is a symbolic link (inside the root). Links below it are never followed.
    pub follow: bool,
}

/// Why a tree cannot be archived.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Something in the tree cannot be read.
    #[error("cannot {action} {path:?}")]
    Read {
        /// The verb.
        action: &'static str,
        /// Its path below the root.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// Overlayfs was mounted with an option whose marks have no counterpart in layers.
    #[error("{0:?} was moved by overlayfs itself (redirect_dir or metacopy), which a layer cannot express")]
    Redirected(String),
}

/// Writes what is at `path` below `root`, with all below it, and the end of the archive.
pub fn archive<W: Write>(
    root: BorrowedFd<'_>,
    path: &Path,
    options: &ArchiveOptions,
    writer: W,
) -> Result<W, ArchiveError> {
    let mut writer = TarWriter::new(writer);
    walk::Walk::new(options, &mut writer).tree(root, path)?;
    writer.finish().map_err(ArchiveError::Write)
}

/// Bytes in the files below a directory; what is linked several times counts once.
pub(crate) fn tree_size(path: &Path) -> Result<u64, Error> {
    let root = fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
    walk::size(root.file().as_fd()).map_err(|e| Error::io("measure", path, e))
}

#[cfg(test)]
mod tests;
