//! Netlink attributes: type, length and value, padded to four bytes, and nested in each other.

const NESTED: u16 = 1 << 15;
const KIND: u16 = 0x3fff;

/// Writes attributes to the end of a request.
///
/// nfnetlink wants numbers in network order, which the `be` methods give.
pub(crate) struct Attributes<'a>(pub(crate) &'a mut Vec<u8>);

impl Attributes<'_> {
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).expect("attribute values stay below 64 KiB");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Text with a closing zero.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    pub(crate) fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Attributes<'_>)) -> &mut Self {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        inside(&mut Attributes(self.0));
        let length = u16::try_from(self.0.len() - start).expect("nested attributes stay below 64 KiB");
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }
}

/// The attributes in `bytes`, with their types; ends at the first that is malformed.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & KIND;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        Attributes(&mut bytes).text(1, "ab").nest(2, |a| {
            a.be32(3, 7).bytes(4, &[9; 16]);
        });
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read[0], (1, &b"ab\0"[..]));
        let inner: Vec<_> = attributes(read[1].1).collect();
        assert_eq!(inner[0], (3, &[0, 0, 0, 7][..]));
        assert_eq!(inner[1].1.len(), 16);
    }

    #[test]
    fn malformed_input_ends_the_walk() {
        assert_eq!(attributes(&[1, 0, 0]).count(), 0);
        assert_eq!(attributes(&[3, 0, 0, 0]).count(), 0);
        assert_eq!(attributes(&[200, 0, 0, 0, 1]).count(), 0);
        assert_eq!(attributes(&[4, 0, 0, 0, 9]).count(), 1);
    }
}
