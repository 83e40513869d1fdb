//! From a layer's compressed bytes to a directory: inflating on one thread, hashing and writing on another.

use std::io::{self, BufRead, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use fs_err as fs;

use crate::digest::{Algorithm, Digest, Hasher};
use crate::tarball::TarError;
use crate::unpack::{UnpackError, UnpackOptions, Unpacked, unpack};

const BUFFER: usize = 256 * 1024;
const BUFFERS: usize = 8;
/// What the largest of the usual settings of xz needs, and some; an archive that wants more is refused.
const XZ_MEMORY_KIB: u32 = 256 << 10;

/// How bytes are compressed, told from their first ones: what the media type says is not always true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// bzip2's.
    Bzip2,
    /// The xz format.
    Xz,
    /// The older format of the same tools, which has no sure mark.
    Lzma,
}

impl Compression {
    /// Looks at the beginning of a stream.
    pub(crate) fn of(start: &[u8]) -> Compression {
        match start {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            [b'B', b'Z', b'h', ..] => Compression::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            [0x5d, 0, 0, ..] => Compression::Lzma,
            _ => Compression::None,
        }
    }
}

/// The stream without its compression (gzip, zstd, bzip2, xz, lzma or none), which is told from its first bytes.
///
/// # Errors
/// Those of the reader.
pub fn decompress<'r>(mut reader: impl BufRead + Send + 'r) -> io::Result<Box<dyn Read + Send + 'r>> {
    // One read may give too few bytes to tell; archives and compressed streams have more than four.
    let start = reader.fill_buf()?.to_vec();
    if start.len() >= 6 || start.is_empty() {
        return decoder(Compression::of(&start), reader);
    }
    let mut start = Vec::new();
    reader.by_ref().take(6).read_to_end(&mut start)?;
    decoder(Compression::of(&start), io::BufReader::with_capacity(BUFFER, io::Cursor::new(start).chain(reader)))
}

fn decoder<'r>(compression: Compression, reader: impl BufRead + Send + 'r) -> io::Result<Box<dyn Read + Send + 'r>> {
    Ok(match compression {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(reader)?),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(reader, true, XZ_MEMORY_KIB)),
        Compression::Lzma => Box::new(lzma_rust2::LzmaReader::new_mem_limit(reader, XZ_MEMORY_KIB, None)?),
    })
}

/// Unpacks a layer's blob into an empty directory; returns the digest of the uncompressed archive.
pub(crate) fn unpack_layer(source: impl BufRead + Send, directory: &Path) -> Result<(Digest, Unpacked), UnpackError> {
    let root = fs::File::open(directory).map_err(|source| UnpackError::Io {
        action: "open",
        path: directory.display().to_string(),
        source,
    })?;
    let options = UnpackOptions { whiteouts: true, ..UnpackOptions::default() };
    std::thread::scope(|scope| {
        let (full, filled) = sync_channel::<io::Result<Vec<u8>>>(BUFFERS);
        let (empty, emptied) = sync_channel::<Vec<u8>>(BUFFERS + 1);
        let inflater = std::thread::Builder::new().name("inflate".into());
        inflater.spawn_scoped(scope, move || inflate(source, &full, &emptied)).map_err(TarError::Io)?;
        let mut stream =
            Inflated { filled, empty, buffer: Vec::new(), start: 0, hasher: Hasher::new(Algorithm::Sha256) };
        let unpacked = unpack(root.file().as_fd(), &mut stream, &options)?;
        Ok((stream.hasher.finish(), unpacked))
    })
}

fn inflate(source: impl BufRead + Send, full: &SyncSender<io::Result<Vec<u8>>>, emptied: &Receiver<Vec<u8>>) {
    let mut reader = match decompress(source) {
        Ok(reader) => reader,
        Err(e) => {
            let _ = full.send(Err(e));
            return;
        }
    };
    loop {
        let mut buffer = emptied.try_recv().unwrap_or_default();
        buffer.resize(BUFFER, 0);
        let mut length = 0;
        let result = loop {
            match reader.read(&mut buffer[length..]) {
                Ok(0) => break Ok(true),
                Ok(n) => {
                    length += n;
                    if length == BUFFER {
                        break Ok(false);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Err(e),
            }
        };
        buffer.truncate(length);
        // Nobody receives any more when unpacking failed; the error is told there.
        match result {
            Ok(end) => {
                if (length > 0 && full.send(Ok(buffer)).is_err()) || end {
                    return;
                }
            }
            Err(e) => {
                let _ = full.send(Err(e));
                return;
            }
        }
    }
}

/// The inflated bytes, hashed as they are read.
struct Inflated {
    filled: Receiver<io::Result<Vec<u8>>>,
    empty: SyncSender<Vec<u8>>,
    buffer: Vec<u8>,
    start: usize,
    hasher: Hasher,
}

impl BufRead for Inflated {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.buffer.len() {
            let used = std::mem::take(&mut self.buffer);
            if used.capacity() > 0 {
                let _ = self.empty.try_send(used);
            }
            self.start = 0;
            // A closed channel is the end of the stream.
            if let Ok(next) = self.filled.recv() {
                self.buffer = next?;
                self.hasher.update(&self.buffer);
            }
        }
        Ok(&self.buffer[self.start..])
    }

    fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.buffer.len());
    }
}

impl Read for Inflated {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}
