//! Fields of a 512-byte header: where they are, and numbers in octal or base 256.

use super::{BLOCK, TarError};

pub(super) type Block = [u8; BLOCK];

pub(super) const NAME: std::ops::Range<usize> = 0..100;
pub(super) const MODE: std::ops::Range<usize> = 100..108;
pub(super) const UID: std::ops::Range<usize> = 108..116;
pub(super) const GID: std::ops::Range<usize> = 116..124;
pub(super) const SIZE: std::ops::Range<usize> = 124..136;
pub(super) const MTIME: std::ops::Range<usize> = 136..148;
pub(super) const CHECKSUM: std::ops::Range<usize> = 148..156;
pub(super) const TYPE: usize = 156;
pub(super) const LINK: std::ops::Range<usize> = 157..257;
pub(super) const MAGIC: std::ops::Range<usize> = 257..265;
pub(super) const MAJOR: std::ops::Range<usize> = 329..337;
pub(super) const MINOR: std::ops::Range<usize> = 337..345;
pub(super) const PREFIX: std::ops::Range<usize> = 345..500;

pub(super) const USTAR_MAGIC: &[u8; 8] = b"ustar\x0000";

/// A text field: up to the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// A number field: octal, or base 256 if the first bit is set. Empty fields are 0.
pub(super) fn number(field: &[u8], what: &'static str) -> Result<i64, TarError> {
    let bad = || TarError::Header(what);
    match field.first() {
        Some(first) if first & 0x80 != 0 => {
            // Two's complement over the whole field, whose highest bit is the marker.
            let negative = first & 0x40 != 0;
            let mut value: i128 = if negative { -1 } else { 0 };
            for (i, byte) in field.iter().enumerate() {
                let byte = if i == 0 { if negative { byte | 0x80 } else { byte & 0x7f } } else { *byte };
                value = (value << 8) | i128::from(byte);
            }
            i64::try_from(value).map_err(|_| bad())
        }
        _ => {
            let trimmed: &[u8] = field.trim_ascii_start();
            let digits = trimmed.split(|b| matches!(b, 0 | b' ')).next().unwrap_or_default();
            let mut value: i64 = 0;
            for digit in digits {
                if !(b'0'..=b'7').contains(digit) {
                    return Err(bad());
                }
                value = value.checked_mul(8).and_then(|v| v.checked_add(i64::from(digit - b'0'))).ok_or_else(bad)?;
            }
            Ok(value)
        }
    }
}

/// A number that cannot be negative.
pub(super) fn unsigned(field: &[u8], what: &'static str) -> Result<u64, TarError> {
    u64::try_from(number(field, what)?).map_err(|_| TarError::Header(what))
}

/// The header's sum with blanks in place of the checksum, bytes taken unsigned and (as old programs did) signed.
pub(super) fn checksums(block: &Block) -> (i64, i64) {
    let (mut unsigned, mut signed) = (0i64, 0i64);
    for (i, byte) in block.iter().enumerate() {
        let byte = if CHECKSUM.contains(&i) { b' ' } else { *byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte as i8);
    }
    (unsigned, signed)
}

/// Writes `value` in octal with a final NUL; false if it does not fit.
pub(super) fn put_octal(field: &mut [u8], value: u64) -> bool {
    let width = field.len() - 1;
    let text = format!("{value:0width$o}");
    if text.len() > width {
        return false;
    }
    field[..width].copy_from_slice(text.as_bytes());
    field[width] = 0;
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_in_all_forms() {
        assert_eq!(number(b"0000644\0", "x").unwrap(), 0o644);
        assert_eq!(number(b"   644 \0", "x").unwrap(), 0o644);
        assert_eq!(number(b"\0\0\0\0", "x").unwrap(), 0);
        assert_eq!(number(b"\x80\0\0\0\0\0\x01\0", "x").unwrap(), 256);
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "x").unwrap(), -1);
        assert!(number(b"12x4567\0", "x").is_err());
        assert!(number(b"99999999", "x").is_err());
        let mut field = [0u8; 8];
        assert!(put_octal(&mut field, 0o7777777) && !put_octal(&mut field, 0o10000000));
    }

    proptest! {
        #[test]
        fn any_field_is_read_or_refused(field in proptest::collection::vec(any::<u8>(), 0..16)) {
            let _ = number(&field, "x");
        }
    }
}
