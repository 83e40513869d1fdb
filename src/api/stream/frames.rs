//! Frames: `[kind, 0, 0, 0, length as u32 big-endian]` and as many bytes.
//!
//! Docker's streams (attach, logs, exec without a terminal) use the kinds 0 to 2 from the daemon to
//! the client; Hoist's own use the same form both ways, with [`EVENT`] for JSON beside the bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Standard input; towards the daemon.
pub const STDIN: u8 = 0;
/// Standard output, or all of a terminal's.
pub const STDOUT: u8 = 1;
/// Standard error.
pub const STDERR: u8 = 2;
/// One JSON value (Hoist's own streams only).
pub const EVENT: u8 = 4;

/// No frame is longer; what is said in one go is cut.
pub const MAX: usize = 1 << 20;

/// The header of a frame.
pub fn header(kind: u8, length: usize) -> [u8; 8] {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [kind, 0, 0, 0, length[0], length[1], length[2], length[3]]
}

/// Appends a frame.
pub fn put(out: &mut BytesMut, kind: u8, payload: &[u8]) {
    out.reserve(payload.len() + 8);
    if payload.is_empty() {
        out.put_slice(&header(kind, 0));
    }
    for part in payload.chunks(MAX) {
        out.put_slice(&header(kind, part.len()));
        out.put_slice(part);
    }
}

/// A frame that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes is longer than any may be")]
pub struct TooLong(usize);

/// Takes the next whole frame off a buffer, if there is one.
///
/// # Errors
/// [`TooLong`] when the other side is not speaking in frames.
pub fn take(buffer: &mut BytesMut) -> Result<Option<(u8, Bytes)>, TooLong> {
    let Some(head) = buffer.first_chunk::<8>() else { return Ok(None) };
    let kind = head[0];
    let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if length > MAX {
        return Err(TooLong(length));
    }
    if buffer.len() < 8 + length {
        buffer.reserve(8 + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(8);
    Ok(Some((kind, buffer.split_to(length).freeze())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut wire = BytesMut::new();
        put(&mut wire, STDOUT, b"hello");
        put(&mut wire, STDIN, b"");
        put(&mut wire, STDERR, &vec![7; MAX + 1]);
        let mut got = BytesMut::new();
        let mut frames = Vec::new();
        for byte in wire {
            got.put_u8(byte);
            if let Some((kind, payload)) = take(&mut got).unwrap() {
                frames.push((kind, payload.len()));
            }
        }
        assert_eq!(frames, [(STDOUT, 5), (STDIN, 0), (STDERR, MAX), (STDERR, 1)]);
    }

    #[test]
    fn text_is_not_taken_for_a_frame() {
        let mut buffer = BytesMut::from(&b"GET / HTTP/1.1"[..]);
        assert!(take(&mut buffer).is_err());
    }
}
