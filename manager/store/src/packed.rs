//! The form in which records lie in the log: a version byte, then JSON as it is or compressed.
//!
//! Records of one kind differ little, so that a list of them shrinks to a tenth, and with it what is sealed, written
//! to the disk and sent to other managers.

use std::{
    borrow::Cow,
    io::{self, BufWriter, Write},
};

use crate::DecodeError;

/// JSON in its first form, which [`crate::earlier`] reads.
const FIRST: u8 = 1;
const PLAIN: u8 = 2;
const COMPRESSED: u8 = 3;
/// The fastest: nine parts of ten go already.
const LEVEL: i32 = 1;
const BUFFER: usize = 64 << 10;

/// JSON as it is.
pub(crate) fn plain(json: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(json.len() + 1);
    bytes.push(PLAIN);
    bytes.extend_from_slice(json);
    bytes
}

/// What `write` writes, compressed.
pub(crate) fn pack(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Vec<u8> {
    let compressed = || {
        let encoder = zstd::Encoder::new(vec![COMPRESSED], LEVEL)?;
        let mut out = BufWriter::with_capacity(BUFFER, encoder);
        write(&mut out)?;
        out.into_inner()?.finish()
    };
    compressed().expect("memory takes the bytes")
}

/// The JSON of an earlier program.
pub(crate) fn first(bytes: &[u8]) -> Option<&[u8]> {
    bytes.split_first().filter(|(version, _)| **version == FIRST).map(|(_, json)| json)
}

/// The JSON back.
pub(crate) fn unpack<'a>(bytes: &'a [u8], what: &'static str) -> Result<Cow<'a, [u8]>, DecodeError> {
    match bytes.split_first() {
        None => Err(DecodeError::Empty { what }),
        Some((&PLAIN, json)) => Ok(Cow::Borrowed(json)),
        Some((&COMPRESSED, packed)) => {
            zstd::decode_all(packed).map(Cow::Owned).map_err(|source| DecodeError::Damaged { what, source })
        }
        Some((&found, _)) => Err(DecodeError::Version { what, found, known: COMPRESSED }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_and_is_smaller() {
        let json = b"{\"name\":\"web\"}".repeat(1_000);
        let packed = pack(|out| out.write_all(&json));
        assert!(packed.len() * 10 < json.len(), "{} bytes", packed.len());
        assert_eq!(unpack(&packed, "test").unwrap(), json);
        assert_eq!(unpack(&plain(&json), "test").unwrap(), json);
    }

    #[test]
    fn what_is_cut_or_of_a_later_version_is_refused() {
        let packed = pack(|out| out.write_all(b"[]"));
        assert!(matches!(unpack(&packed[..packed.len() - 2], "test"), Err(DecodeError::Damaged { .. })));
        assert!(matches!(unpack(&[], "test"), Err(DecodeError::Empty { .. })));
        assert!(matches!(unpack(b"\x07[]", "test"), Err(DecodeError::Version { found: 7, .. })));
    }
}
