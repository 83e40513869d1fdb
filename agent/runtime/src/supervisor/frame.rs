//! The form of bytes on an attach stream: Docker's, an eight-byte header before each piece.

/// Client to supervisor: input; a length of zero ends it.
pub const STDIN: u8 = 0;
/// Supervisor to client.
pub const STDOUT: u8 = 1;
/// Supervisor to client.
pub const STDERR: u8 = 2;
/// Size of the header.
pub const HEADER: usize = 8;
/// The largest piece that either side sends.
pub const MAX: usize = 64 << 10;

/// The header of a piece of `len` bytes.
#[must_use]
pub fn header(kind: u8, len: usize) -> [u8; HEADER] {
    let len = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    [kind, 0, 0, 0, len[0], len[1], len[2], len[3]]
}

/// Kind and length, once the header is complete.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<(u8, usize)> {
    match bytes {
        [kind, _, _, _, a, b, c, d, ..] => Some((*kind, u32::from_be_bytes([*a, *b, *c, *d]) as usize)),
        _ => None,
    }
}
