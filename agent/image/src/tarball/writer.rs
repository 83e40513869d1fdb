//! Writes an archive: ustar headers where they suffice, PAX records where they do not.

use std::io::{self, Read, Write};

use super::header::{self, Block};
use super::{BLOCK, Entry, EntryKind, pax};

/// A writer of archives. Without [`TarWriter::finish`] the archive has no end.
pub struct TarWriter<W> {
    writer: W,
}

impl<W: Write> TarWriter<W> {
    /// Writes to the start of a stream.
    pub fn new(writer: W) -> TarWriter<W> {
        TarWriter { writer }
    }

    /// Writes one entry. `data` must give at least [`Entry::size`] bytes for a file; for others it is not read.
    pub fn append(&mut self, entry: &Entry, data: &mut dyn Read) -> io::Result<()> {
        let size = if entry.kind == EntryKind::File { entry.size } else { 0 };
        let mut block: Block = [0; BLOCK];
        let mut records = Vec::new();
        fill(&mut block, entry, size, &mut records);
        if !records.is_empty() {
            let mut extended: Block = [0; BLOCK];
            let name = [b"PaxHeaders/".as_slice(), base_name(&entry.path)].concat();
            let header = Entry {
                mode: 0o644,
                mtime: super::Time::default(),
                ..Entry::new(&name[..name.len().min(100)], EntryKind::File, 0o644)
            };
            fill(&mut extended, &header, records.len() as u64, &mut Vec::new());
            extended[header::TYPE] = b'x';
            seal(&mut extended);
            self.writer.write_all(&extended)?;
            self.writer.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        seal(&mut block);
        self.writer.write_all(&block)?;
        let mut left = size;
        let mut buffer = vec![0u8; usize::try_from(left.min(128 * 1024)).unwrap_or(128 * 1024)];
        while left > 0 {
            let step = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            data.read_exact(&mut buffer[..step])?;
            self.writer.write_all(&buffer[..step])?;
            left -= step as u64;
        }
        self.pad(size)
    }

    /// Writes the end of the archive and gives the stream back.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.write_all(&[0; 2 * BLOCK])?;
        self.writer.flush()?;
        Ok(self.writer)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = (size % BLOCK as u64) as usize;
        if rest > 0 {
            self.writer.write_all(&[0; BLOCK][rest..])?;
        }
        Ok(())
    }
}

/// Fills a header; what does not fit into its fields becomes a PAX record.
fn fill(block: &mut Block, entry: &Entry, size: u64, records: &mut Vec<u8>) {
    let mut path = entry.path.clone();
    if entry.kind == EntryKind::Directory && !path.ends_with(b"/") {
        path.push(b'/');
    }
    if path.len() <= 100 && path.is_ascii() {
        block[..path.len()].copy_from_slice(&path);
    } else {
        pax::put(records, b"path", &path);
        let cut = &path[..path.len().min(100)];
        for (to, from) in block.iter_mut().zip(cut) {
            *to = if from.is_ascii() { *from } else { b'_' };
        }
    }
    if entry.link.len() <= 100 && entry.link.is_ascii() {
        block[header::LINK.start..][..entry.link.len()].copy_from_slice(&entry.link);
    } else {
        pax::put(records, b"linkpath", &entry.link);
    }
    let mut number = |field: std::ops::Range<usize>, value: u64, key: &[u8]| {
        if !header::put_octal(&mut block[field.clone()], value) {
            header::put_octal(&mut block[field], 0);
            pax::put(records, key, value.to_string().as_bytes());
        }
    };
    number(header::MODE, u64::from(entry.mode & 0o7777), b"mode");
    number(header::UID, entry.uid, b"uid");
    number(header::GID, entry.gid, b"gid");
    number(header::SIZE, size, b"size");
    match u64::try_from(entry.mtime.secs) {
        Ok(secs) if entry.mtime.nanos == 0 => number(header::MTIME, secs, b"mtime"),
        secs => {
            header::put_octal(&mut block[header::MTIME], secs.ok().filter(|s| *s < 1 << 33).unwrap_or(0));
            pax::put(records, b"mtime", pax::put_time(entry.mtime).as_bytes());
        }
    }
    block[header::TYPE] = match entry.kind {
        EntryKind::File => b'0',
        EntryKind::HardLink => b'1',
        EntryKind::Symlink => b'2',
        EntryKind::CharDevice => b'3',
        EntryKind::BlockDevice => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    };
    if matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
        // Linux device numbers have at most 20 bits for the minor: seven octal digits.
        header::put_octal(&mut block[header::MAJOR], u64::from(entry.major));
        header::put_octal(&mut block[header::MINOR], u64::from(entry.minor));
    }
    for (name, value) in &entry.xattrs {
        pax::put(records, &pax::xattr_key(name), value);
    }
    block[header::MAGIC].copy_from_slice(header::USTAR_MAGIC);
}

/// Writes the checksum, in the form that all readers take: six digits, NUL, blank.
fn seal(block: &mut Block) {
    let (sum, _) = header::checksums(block);
    let text = format!("{sum:06o}\0 ");
    block[header::CHECKSUM].copy_from_slice(text.as_bytes());
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').find(|part| !part.is_empty()).unwrap_or(b"entry")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tarball::{TarReader, Time};
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = EntryKind> {
        use EntryKind::*;
        proptest::sample::select(vec![File, HardLink, Symlink, CharDevice, BlockDevice, Directory, Fifo])
    }

    prop_compose! {
        fn entries()(
            path in "[a-zé/ .]{1,140}", kind in kinds(), mode in 0u32..0o10000, uid in any::<u32>(), gid in any::<u32>(),
            secs in -5_000_000_000i64..90_000_000_000, nanos in 0u32..1_000_000_000, link in "[a-z/]{1,140}",
            data in proptest::collection::vec(any::<u8>(), 0..1500),
            xattrs in proptest::collection::vec(("user\\.[a-z]{1,5}", proptest::collection::vec(any::<u8>(), 0..20)), 0..3),
        ) -> (Entry, Vec<u8>) {
            let mut e = Entry::new(path, kind, mode);
            (e.uid, e.gid, e.mtime) = (uid.into(), gid.into(), Time { secs, nanos });
            if matches!(kind, EntryKind::HardLink | EntryKind::Symlink) { e.link = link.into_bytes(); }
            if matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice) { (e.major, e.minor) = (mode, uid % 1_000_000); }
            for (name, value) in xattrs {
                if !e.xattrs.iter().any(|(n, _)| n == name.as_bytes()) { e.xattrs.push((name.into_bytes(), value)); }
            }
            if kind == EntryKind::File {
                while e.path.ends_with(b"/") { e.path.pop(); }
                if e.path.is_empty() { e.path.push(b'f'); }
                e.size = data.len() as u64;
                (e, data)
            } else {
                if kind == EntryKind::Directory && !e.path.ends_with(b"/") { e.path.push(b'/'); }
                (e, Vec::new())
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(list in proptest::collection::vec(entries(), 0..6)) {
            let mut writer = TarWriter::new(Vec::new());
            for (entry, data) in &list {
                writer.append(entry, &mut data.as_slice()).unwrap();
            }
            let bytes = writer.finish().unwrap();
            let mut reader = TarReader::new(bytes.as_slice());
            for (entry, data) in &list {
                let read = reader.next_entry().unwrap().unwrap();
                prop_assert_eq!(&read, entry);
                let mut got = Vec::new();
                while let part @ [_, ..] = reader.fill().unwrap() {
                    got.extend_from_slice(part);
                    let n = part.len();
                    reader.consume(n);
                }
                prop_assert_eq!(&got, data);
            }
            prop_assert!(reader.next_entry().unwrap().is_none());
        }

        #[test]
        fn damaged_archives_are_read_or_refused(list in proptest::collection::vec(entries(), 1..4), at in any::<proptest::sample::Index>(), value in any::<u8>(), cut in any::<proptest::sample::Index>()) {
            let mut writer = TarWriter::new(Vec::new());
            for (entry, data) in &list {
                writer.append(entry, &mut data.as_slice()).unwrap();
            }
            let mut bytes = writer.finish().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = value;
            // Mend the first checksum, so that damage gets past it.
            if at < BLOCK {
                let mut block: Block = bytes[..BLOCK].try_into().unwrap();
                seal(&mut block);
                bytes[..BLOCK].copy_from_slice(&block);
            }
            bytes.truncate(cut.index(bytes.len()) + 1);
            let mut reader = TarReader::new(bytes.as_slice());
            while let Ok(Some(_)) = reader.next_entry() {}
        }
    }
}
