//! PAX records (POSIX pax, "pax Header Block"): `length key=value\n`.

use super::{TarError, Time};

const XATTR: &[u8] = b"SCHILY.xattr.";

/// What PAX records say about the entry that follows.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<Time>,
    pub atime: Option<Time>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: PaxSparse,
}

/// GNU's records for sparse files, formats 0.0, 0.1 and 1.0.
#[derive(Debug, Clone, Default)]
pub(super) struct PaxSparse {
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub real_size: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub map: Vec<u64>,
    pub present: bool,
}

impl Pax {
    /// Takes in the records of a PAX header; later ones win.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Result<(), TarError> {
        let bad = || TarError::Header("extended header");
        while !records.is_empty() {
            // Some writers pad with NULs.
            if records.iter().all(|b| *b == 0) {
                return Ok(());
            }
            let space = records.iter().take(20).position(|b| *b == b' ').ok_or_else(bad)?;
            let length: usize = ascii(&records[..space]).ok_or_else(bad)?;
            if length <= space + 1 || length > records.len() || records[length - 1] != b'\n' {
                return Err(bad());
            }
            let record = &records[space + 1..length - 1];
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(bad)?;
            self.set(&record[..equals], &record[equals + 1..])?;
            records = &records[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        let number = || {
            if value.is_empty() {
                Ok(None)
            } else {
                ascii(value).map(Some).ok_or(TarError::Header("number in extended header"))
            }
        };
        match key {
            b"path" => self.path = text(value)?,
            b"linkpath" => self.link = text(value)?,
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"mtime" => self.mtime = time(value)?,
            b"atime" => self.atime = time(value)?,
            b"GNU.sparse.major" => self.sparse.major = number()?,
            b"GNU.sparse.minor" => self.sparse.minor = number()?,
            b"GNU.sparse.name" => self.sparse.name = text(value)?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.sparse.real_size = number()?;
                self.sparse.present = true;
            }
            b"GNU.sparse.numblocks" => self.sparse.present = true,
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.map.push(number()?.ok_or(TarError::Sparse)?),
            b"GNU.sparse.map" => {
                let parts = value.split(|b| *b == b',').filter(|p| !p.is_empty());
                self.sparse.map = parts.map(|p| ascii(p).ok_or(TarError::Sparse)).collect::<Result<_, _>>()?;
            }
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    if name.is_empty() || name.contains(&0) {
                        return Err(TarError::Header("extended attribute name"));
                    }
                    self.xattrs.retain(|(n, _)| n != name);
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }

    /// This header's records over those of the global header.
    pub(super) fn over(&self, global: &Pax) -> Pax {
        let mut merged = self.clone();
        merged.path = merged.path.or_else(|| global.path.clone());
        merged.link = merged.link.or_else(|| global.link.clone());
        merged.size = merged.size.or(global.size);
        merged.uid = merged.uid.or(global.uid);
        merged.gid = merged.gid.or(global.gid);
        merged.mtime = merged.mtime.or(global.mtime);
        merged.atime = merged.atime.or(global.atime);
        for (name, value) in &global.xattrs {
            if !merged.xattrs.iter().any(|(n, _)| n == name) {
                merged.xattrs.push((name.clone(), value.clone()));
            }
        }
        merged
    }
}

/// Writes one record; its length counts its own digits.
pub(super) fn put(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// The record key of an extended attribute.
pub(super) fn xattr_key(name: &[u8]) -> Vec<u8> {
    [XATTR, name].concat()
}

/// A time as PAX writes it.
pub(super) fn put_time(time: Time) -> String {
    let nanos = time.nanos.min(999_999_999);
    if nanos == 0 {
        return time.secs.to_string();
    }
    let text = if time.secs < 0 {
        // The fraction of a negative number points the other way.
        format!("-{}.{:09}", (time.secs + 1).unsigned_abs(), 1_000_000_000 - nanos)
    } else {
        format!("{}.{nanos:09}", time.secs)
    };
    text.trim_end_matches('0').to_owned()
}

fn ascii<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    if !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn text(value: &[u8]) -> Result<Option<Vec<u8>>, TarError> {
    if value.contains(&0) {
        return Err(TarError::Header("name in extended header"));
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

fn time(value: &[u8]) -> Result<Option<Time>, TarError> {
    if value.is_empty() {
        return Ok(None);
    }
    parse_time(value).map(Some).ok_or(TarError::Header("time in extended header"))
}

fn parse_time(value: &[u8]) -> Option<Time> {
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = digits.splitn(2, |b| *b == b'.');
    let whole: i64 = ascii(parts.next()?)?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = (0..9).fold(0u32, |n, i| n * 10 + fraction.get(i).map_or(0, |d| u32::from(d - b'0')));
    Some(match (negative, nanos) {
        (false, _) => Time { secs: whole, nanos },
        (true, 0) => Time { secs: -whole, nanos: 0 },
        (true, _) => Time { secs: -whole - 1, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_count_their_own_length() {
        for n in [1, 2, 88, 89, 90, 91, 985, 986, 987, 9983] {
            let mut records = Vec::new();
            let value = vec![b'v'; n];
            put(&mut records, b"path", &value);
            let mut pax = Pax::default();
            pax.read(&records).unwrap();
            assert_eq!(pax.path.unwrap().len(), n);
        }
    }

    #[test]
    fn times_before_and_after_the_epoch() {
        for (secs, nanos) in [(0, 0), (5, 0), (5, 120), (-1, 0), (-1, 500_000_000), (-2, 1), (1 << 40, 999_999_999)] {
            let time = Time { secs, nanos };
            assert_eq!(parse_time(put_time(time).as_bytes()), Some(time));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Pax::default().read(&bytes);
        }

        #[test]
        fn any_records_are_read_or_refused(records in proptest::collection::vec(("(path|size|mtime|uid|GNU.sparse.(map|size|offset)|SCHILY.xattr.a)", "[0-9a-z.,\\-]{0,12}"), 0..5)) {
            let mut bytes = Vec::new();
            for (key, value) in &records {
                put(&mut bytes, key.as_bytes(), value.as_bytes());
            }
            let _ = Pax::default().read(&bytes);
        }
    }
}
