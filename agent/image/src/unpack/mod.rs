//! Tar streams become directories, and nothing outside of them.
//!
//! Every path is resolved by the kernel below a root descriptor (`openat2` with `RESOLVE_IN_ROOT`), the last component
//! is never followed, and names that lead above the root are refused. So it is safe for hostile archives, and for
//! trees that a hostile process changes at the same time, as in a running container.
//!
//! Layers are written in overlayfs' own format: a whiteout is a character device 0/0, an opaque directory carries
//! `trusted.overlay.opaque`.

mod remove;
mod root;
mod write;

use std::io::{self, BufRead};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::tarball::{TarError, TarReader};

pub use remove::remove_tree;
pub use root::SafeRoot;
use write::Writer;

/// How to unpack.
#[derive(Debug, Clone, Default)]
pub struct UnpackOptions {
    /// Names with `.wh.` are whiteouts, as in image layers; otherwise they are names like any other.
    pub whiteouts: bool,
    /// The directory below the root that the archive's names are relative to; the root itself when empty.
    pub base: PathBuf,
    /// Refuse to replace a directory by something else, and the other way round.
    pub no_overwrite_dir_non_dir: bool,
    /// Give everything to this owner and group instead of the archive's.
    pub owner: Option<(u32, u32)>,
}

/// What was unpacked.
#[derive(Debug, Clone, Default)]
pub struct Unpacked {
    /// Bytes in files.
    pub size: u64,
    /// Entries in the archive.
    pub entries: u64,
    /// Directories that the archive needs but does not describe: they were made with mode 0755, owned by root.
    pub implicit_dirs: Vec<Vec<u8>>,
}

/// Why an archive cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive is damaged, or ends too early.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A name that leads out of the root.
    #[error("entry {0:?} would be written outside of the root")]
    Outside(String),
    /// A hard link to something outside of the root.
    #[error("hard link {entry:?} to {target:?} leads outside of the root")]
    LinkOutside {
        /// The link.
        entry: String,
        /// Its target.
        target: String,
    },
    /// A whiteout of nothing, of a directory itself or of its parent.
    #[error("entry {0:?} is no valid whiteout")]
    Whiteout(String),
    /// A character device 0/0 hides files of lower layers; an archive says that with whiteouts.
    #[error("entry {0:?} is a character device 0:0")]
    ZeroDevice(String),
    /// Owner ids do not fit.
    #[error("entry {0:?} has an owner out of range")]
    Owner(String),
    /// A directory in the way, and replacing it was not asked for.
    #[error("cannot overwrite directory {0:?} with non-directory")]
    OverDirectory(String),
    /// Something in the way of a directory, and replacing it was not asked for.
    #[error("cannot overwrite non-directory {0:?} with directory")]
    OverNonDirectory(String),
    /// The kernel refused an operation.
    #[error("cannot {action} {path:?}")]
    Io {
        /// The verb.
        action: &'static str,
        /// The entry's name.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl UnpackError {
    /// Whether the disk is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            UnpackError::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }

    fn io(action: &'static str, path: &[u8], source: impl Into<io::Error>) -> UnpackError {
        UnpackError::Io { action, path: lossy(path), source: source.into() }
    }
}

pub(crate) fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(&path[..path.len().min(512)]).into_owned()
}

/// Unpacks an archive below `root`, and reads the stream to its end. What was written stays when it fails.
///
/// The work is done in a thread of its own, whose file mode mask is its own too.
pub fn unpack(
    root: BorrowedFd<'_>,
    reader: impl BufRead + Send,
    options: &UnpackOptions,
) -> Result<Unpacked, UnpackError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("unpack".into());
        let work = thread.spawn_scoped(scope, || {
            private_umask().map_err(|e| UnpackError::io("prepare a thread to unpack", b"archive", e))?;
            run(root, reader, options)
        });
        match work.map_err(|e| UnpackError::io("start a thread to unpack", b"archive", e))?.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn run(root: BorrowedFd<'_>, reader: impl BufRead, options: &UnpackOptions) -> Result<Unpacked, UnpackError> {
    let mut tar = TarReader::new(reader);
    let mut writer = Writer::new(SafeRoot::new(root), options);
    while let Some(entry) = tar.next_entry()? {
        writer.entry(entry, &mut tar)?;
    }
    let done = writer.finish()?;
    drain(tar.into_inner())?;
    Ok(done)
}

/// Archives may be padded; who hashes the stream must see all of it.
fn drain(mut reader: impl BufRead) -> Result<(), UnpackError> {
    loop {
        let n = match reader.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(buffer) => buffer.len(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(TarError::Io(e).into()),
        };
        reader.consume(n);
    }
}

/// Gives this thread a mask of its own, and sets it to nothing: modes are exactly those that are asked for.
fn private_umask() -> io::Result<()> {
    // SAFETY: CLONE_FS only separates this thread's mask and working directory from the other threads'; no descriptor
    // and no memory is affected.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS) }?;
    rustix::process::umask(rustix::fs::Mode::empty());
    Ok(())
}

#[cfg(test)]
mod tests;
