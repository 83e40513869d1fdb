//! One digest of many files: names, kinds, modes, owners, contents; never times.

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{OFlags, Stat};
use sha2::{Digest, Sha256};

use super::root::Root;
use super::select::{Item, Kind};
use crate::BuildError;

/// Digests of files that were read before.
pub(crate) trait FileDigests: Send + Sync {
    fn get(&self, stat: &Stat) -> Option<[u8; 32]>;
    fn put(&self, read: Vec<(Stat, [u8; 32])>);
}

/// Remembers nothing: for trees whose files have no lasting identity.
pub(crate) struct NoDigests;

impl FileDigests for NoDigests {
    fn get(&self, _: &Stat) -> Option<[u8; 32]> {
        None
    }

    fn put(&self, _: Vec<(Stat, [u8; 32])>) {}
}

/// Large files are read in pieces of this size, several at once.
const PIECE: u64 = 8 << 20;

struct Piece {
    item: usize,
    offset: u64,
    length: u64,
    digest: [u8; 32],
}

/// The digest of a selection, in hexadecimal. With `owners` the files' owners count.
///
/// # Errors
/// Those of reading files.
pub(crate) fn digest(root: &Root, items: &[Item], owners: bool, known: &dyn FileDigests) -> Result<String, BuildError> {
    let files = contents(root, items, known)?;
    let mut hasher = Sha256::new();
    for (at, item) in items.iter().enumerate() {
        let mut put = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        put(item.target.as_os_str().as_bytes());
        put(&(item.stat.st_mode & 0o7777).to_le_bytes());
        if owners {
            put(&item.stat.st_uid.to_le_bytes());
            put(&item.stat.st_gid.to_le_bytes());
        }
        match item.kind {
            Kind::Directory => put(b"directory"),
            Kind::File => {
                put(b"file");
                put(files.get(&at).map_or(&[][..], |digest| &digest[..]));
            }
            Kind::Symlink => {
                put(b"link");
                put(&read_link(root, item)?);
            }
            Kind::Node => {
                put(b"node");
                put(&(item.stat.st_mode & !0o7777).to_le_bytes());
                put(&item.stat.st_rdev.to_le_bytes());
            }
        }
    }
    Ok(crate::graph::hex(&hasher.finalize()))
}

/// Where a symbolic link points.
pub(super) fn read_link(root: &Root, item: &Item) -> Result<Vec<u8>, BuildError> {
    let fail = |error: io::Error| BuildError::io("read the link", &item.source, error);
    let link = root.open(&item.source, OFlags::PATH | OFlags::NOFOLLOW).map_err(fail)?;
    Ok(rustix::fs::readlinkat(&link, "", Vec::new()).map_err(|error| fail(error.into()))?.into_bytes())
}

fn contents(root: &Root, items: &[Item], known: &dyn FileDigests) -> Result<HashMap<usize, [u8; 32]>, BuildError> {
    let mut digests = HashMap::new();
    let mut pieces = Vec::new();
    for (at, item) in items.iter().enumerate().filter(|(_, item)| item.kind == Kind::File) {
        if let Some(digest) = known.get(&item.stat) {
            digests.insert(at, digest);
            continue;
        }
        let size = u64::try_from(item.stat.st_size).unwrap_or(0);
        for piece in 0..size.div_ceil(PIECE).max(1) {
            let offset = piece * PIECE;
            pieces.push(Piece { item: at, offset, length: PIECE.min(size - offset), digest: [0; 32] });
        }
    }
    if pieces.is_empty() {
        return Ok(digests);
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(pieces.len());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| -> Result<(), BuildError> {
                    let mut buffer = vec![0; 256 << 10];
                    let mut mine = Vec::new();
                    while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let item = &items[piece.item];
                        let digest = read_piece(root, item, piece, &mut buffer)
                            .map_err(|error| BuildError::io("read", &item.source, error))?;
                        mine.push(Piece { digest, ..*piece });
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).append(&mut mine);
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|piece| (piece.item, piece.offset));
    let mut fresh = Vec::new();
    for whole in done.chunk_by(|a, b| a.item == b.item) {
        let digest = match whole {
            [only] => only.digest,
            pieces => {
                let mut hasher = Sha256::new();
                pieces.iter().for_each(|piece| hasher.update(piece.digest));
                hasher.finalize().into()
            }
        };
        digests.insert(whole[0].item, digest);
        fresh.push((items[whole[0].item].stat, digest));
    }
    known.put(fresh);
    Ok(digests)
}

fn read_piece(root: &Root, item: &Item, piece: &Piece, buffer: &mut [u8]) -> io::Result<[u8; 32]> {
    let file = root.open(&item.source, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)?;
    let mut hasher = Sha256::new();
    let (mut at, end) = (piece.offset, piece.offset + piece.length);
    while at < end {
        let step = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        match rustix::io::pread(&file, &mut buffer[..step], at) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                at += n as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(hasher.finalize().into())
}
