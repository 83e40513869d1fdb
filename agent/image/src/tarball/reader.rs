//! Reads an archive entry by entry from a stream.

use std::io::{self, BufRead};

use super::header::{self, Block};
use super::pax::Pax;
use super::{BLOCK, Entry, EntryKind, Time, sparse};

/// Extended headers and long names larger than this are refused; Go's reader has the same limit.
const MAX_EXTRA: u64 = 1 << 20;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream failed, or ended in the middle of an entry.
    #[error("cannot read the archive")]
    Io(#[source] io::Error),
    /// It is no tar archive, or damaged.
    #[error("not a tar archive, or a damaged one: wrong header checksum")]
    Checksum,
    /// A field that cannot be.
    #[error("invalid tar header: {0}")]
    Header(&'static str),
    /// A name or extended header beyond all reason.
    #[error("tar header of {0} bytes is too large")]
    TooLarge(u64),
    /// A map of pieces that contradicts itself.
    #[error("invalid map of a sparse file")]
    Sparse,
    /// A kind of entry that has no meaning in a file tree.
    #[error("unsupported tar entry type {0:?}")]
    Kind(char),
}

/// A reader of archives. After [`TarReader::next_entry`] the entry's stored bytes are read with
/// [`TarReader::fill`] and [`TarReader::consume`]; what is left unread is skipped.
pub struct TarReader<R> {
    reader: R,
    remaining: u64,
    padding: u64,
    global: Pax,
    ended: bool,
}

impl<R: BufRead> TarReader<R> {
    /// Reads from the start of an archive.
    pub fn new(reader: R) -> TarReader<R> {
        TarReader { reader, remaining: 0, padding: 0, global: Pax::default(), ended: false }
    }

    /// The stream, wherever it is now.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// Stored bytes of the current entry that were not read yet.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Some of the current entry's stored bytes; empty at their end.
    pub fn fill(&mut self) -> io::Result<&[u8]> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let buffer = loop {
            match self.reader.fill_buf() {
                Ok(_) => break self.reader.fill_buf()?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        };
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = buffer.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        Ok(&buffer[..length])
    }

    /// Marks `n` bytes of the last [`TarReader::fill`] as read.
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n as u64 <= self.remaining);
        self.reader.consume(n);
        self.remaining -= n as u64;
    }

    /// The next entry, or `None` at the end of the archive.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip(self.remaining)?;
        self.remaining = 0;
        // Docker's command line ends an archive that it puts a file into with that file's last byte.
        self.ended |= !self.pass(self.padding)?;
        self.padding = 0;
        let mut local = Pax::default();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let Some(block) = self.header()? else { return Ok(None) };
            match block[header::TYPE] {
                b'x' | b'X' => {
                    let records = self.extra(&block)?;
                    local.read(&records)?;
                }
                b'g' => {
                    let records = self.extra(&block)?;
                    self.global.read(&records)?;
                }
                b'L' => long_name = Some(header::text(&self.extra(&block)?).to_vec()),
                b'K' => long_link = Some(header::text(&self.extra(&block)?).to_vec()),
                // A volume's label describes no file.
                b'V' => {
                    self.extra(&block)?;
                }
                _ => return self.entry(&block, local.over(&self.global), long_name, long_link).map(Some),
            }
        }
    }

    /// The next header block; `None` at the end. Programs disagree on whether one zero block or two end an archive.
    fn header(&mut self) -> Result<Option<Block>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let mut block: Block = [0; BLOCK];
        loop {
            match self.reader.fill_buf() {
                Ok([]) => {
                    self.ended = true;
                    return Ok(None);
                }
                Ok(_) => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(TarError::Io(e)),
            }
        }
        read_block(&mut self.reader, &mut block)?;
        if block.iter().all(|b| *b == 0) {
            self.ended = true;
            return Ok(None);
        }
        let stored = header::number(&block[header::CHECKSUM], "checksum").map_err(|_| TarError::Checksum)?;
        let (unsigned, signed) = header::checksums(&block);
        if stored != unsigned && stored != signed {
            return Err(TarError::Checksum);
        }
        Ok(Some(block))
    }

    /// The data of a header that describes another.
    fn extra(&mut self, block: &Block) -> Result<Vec<u8>, TarError> {
        let size = header::unsigned(&block[header::SIZE], "size")?;
        if size > MAX_EXTRA {
            return Err(TarError::TooLarge(size));
        }
        let mut data = vec![0; size as usize];
        self.reader.read_exact(&mut data).map_err(TarError::Io)?;
        self.skip(padding(size))?;
        Ok(data)
    }

    fn entry(
        &mut self,
        block: &Block,
        pax: Pax,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, TarError> {
        let path = pax.sparse.name.clone().or(pax.path.clone()).or(long_name).unwrap_or_else(|| short_name(block));
        let link = pax.link.clone().or(long_link).unwrap_or_else(|| header::text(&block[header::LINK]).to_vec());
        let kind = match block[header::TYPE] {
            // Before there was a type for directories, a final slash marked them.
            0 | b'0' if path.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice,
            b'4' => EntryKind::BlockDevice,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => return Err(TarError::Kind(other.into())),
        };
        // POSIX lets only files carry data; others may state a size all the same.
        let mut stored = match (kind, pax.size) {
            (EntryKind::File, Some(size)) => size,
            (EntryKind::File, None) => header::unsigned(&block[header::SIZE], "size")?,
            _ => 0,
        };
        self.padding = padding(stored);
        let (mut size, mut map) = (stored, None);
        if block[header::TYPE] == b'S' {
            let (pieces, real) = sparse::old_gnu(block, &mut self.reader)?;
            (size, map) = (real, Some(pieces));
        } else if kind == EntryKind::File && (pax.sparse.present || pax.sparse.major.is_some()) {
            let real = pax.sparse.real_size.ok_or(TarError::Sparse)?;
            let pieces = match (pax.sparse.major, pax.sparse.minor) {
                (Some(1), Some(0)) => {
                    let (pieces, used) = sparse::in_data(&mut self.reader, stored)?;
                    stored = stored.checked_sub(used).ok_or(TarError::Sparse)?;
                    pieces
                }
                (None | Some(0), _) => sparse::pairs(&pax.sparse.map)?,
                _ => return Err(TarError::Sparse),
            };
            (size, map) = (real, Some(pieces));
        }
        if i64::try_from(size).is_err() || i64::try_from(stored).is_err() {
            return Err(TarError::Header("size"));
        }
        if let Some(map) = &map {
            sparse::check(map, size, stored)?;
        }
        self.remaining = stored;
        let device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        let device_number = |field| -> Result<u32, TarError> {
            if !device {
                return Ok(0);
            }
            u32::try_from(header::unsigned(field, "device number")?).map_err(|_| TarError::Header("device number"))
        };
        Ok(Entry {
            kind,
            mode: (header::number(&block[header::MODE], "mode")? & 0o7777) as u32,
            uid: pax.uid.map_or_else(|| header::unsigned(&block[header::UID], "uid"), Ok)?,
            gid: pax.gid.map_or_else(|| header::unsigned(&block[header::GID], "gid"), Ok)?,
            size,
            mtime: match pax.mtime {
                Some(time) => time,
                None => Time { secs: header::number(&block[header::MTIME], "mtime")?, nanos: 0 },
            },
            atime: pax.atime,
            major: device_number(&block[header::MAJOR])?,
            minor: device_number(&block[header::MINOR])?,
            xattrs: pax.xattrs,
            sparse: map,
            path,
            link,
        })
    }

    fn skip(&mut self, n: u64) -> Result<(), TarError> {
        if self.pass(n)? { Ok(()) } else { Err(TarError::Io(io::ErrorKind::UnexpectedEof.into())) }
    }

    /// Leaves out this many bytes; says whether there were as many.
    fn pass(&mut self, mut n: u64) -> Result<bool, TarError> {
        while n > 0 {
            let available = match self.reader.fill_buf() {
                Ok([]) => return Ok(false),
                Ok(buffer) => buffer.len(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(TarError::Io(e)),
            };
            let step = available.min(usize::try_from(n).unwrap_or(usize::MAX));
            self.reader.consume(step);
            n -= step as u64;
        }
        Ok(true)
    }
}

/// Name and, in ustar's and star's headers, the prefix before it.
fn short_name(block: &Block) -> Vec<u8> {
    let name = header::text(&block[header::NAME]);
    let magic = &block[header::MAGIC];
    let prefix: &[u8] = if magic.starts_with(b"ustar\0") {
        let star = &block[508..512] == b"tar\0";
        header::text(&block[if star { 345..476 } else { header::PREFIX }])
    } else {
        b""
    };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

pub(super) fn read_block(reader: &mut impl BufRead, block: &mut Block) -> Result<(), TarError> {
    reader.read_exact(block).map_err(TarError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_may_end_with_its_last_byte_of_data_and_no_earlier() {
        let mut writer = tar::Builder::new(Vec::new());
        for name in ["one", "two"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(30);
            header.set_cksum();
            writer.append_data(&mut header, name, [b'x'; 30].as_slice()).unwrap();
        }
        let whole = writer.into_inner().unwrap();
        let entries = |length: usize| {
            let mut reader = TarReader::new(&whole[..length]);
            let mut count = 0;
            while reader.next_entry()?.is_some() {
                count += 1;
            }
            Ok::<_, TarError>(count)
        };
        let end = 512 + 512 + 512 + 30;
        assert_eq!(entries(whole.len()).unwrap(), 2);
        assert_eq!(entries(end + 7).unwrap(), 2);
        assert_eq!(entries(end).unwrap(), 2);
        assert!(matches!(entries(end - 1), Err(TarError::Io(_))));
        assert!(matches!(entries(512 + 512 + 100), Err(TarError::Io(_))));
    }
}
