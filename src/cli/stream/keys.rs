//! The keys that detach: `ctrl-p,ctrl-q` unless others are given.

use crate::cli::failure::Failure;

/// Looks for a sequence of keys in what is typed.
#[derive(Debug, Clone)]
pub struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self { keys: vec![16, 17], matched: 0 }
    }
}

impl DetachKeys {
    /// Parses `ctrl-a,d`; `None` is the default.
    pub fn parse(text: Option<&str>) -> Result<Self, Failure> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Self::default()) };
        let fail = || {
            Failure::usage(format!(
                "invalid value {text:?} for --detach-keys: expected keys such as ctrl-a,d (a letter, or ctrl- and a letter or one of @[\\]^_)"
            ))
        };
        let keys = text
            .split(',')
            .map(|key| match key.strip_prefix("ctrl-") {
                Some(control) => match control.as_bytes() {
                    [letter @ b'a'..=b'z'] => Ok(letter - b'a' + 1),
                    [letter @ b'@'..=b'_'] => Ok(letter - b'@'),
                    _ => Err(fail()),
                },
                None => match key.as_bytes() {
                    [letter] => Ok(*letter),
                    _ => Err(fail()),
                },
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { keys, matched: 0 })
    }

    /// What of the typed bytes goes on to the container, and whether the sequence is complete.
    pub fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.keys.get(self.matched) == Some(byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return (out, true);
                }
                continue;
            }
            // What looked like the sequence was not: it was meant for the container.
            out.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if self.keys.first() == Some(byte) {
                self.matched = 1;
            } else {
                out.push(*byte);
            }
        }
        (out, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_found_across_reads_and_kept_back_until_certain() {
        let mut keys = DetachKeys::default();
        assert_eq!(keys.filter(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(b"x"), (b"\x10x".to_vec(), false));
        assert_eq!(keys.filter(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.filter(b"\x11rest"), (Vec::new(), true));
    }

    #[test]
    fn sequences() {
        assert_eq!(DetachKeys::parse(Some("ctrl-a,d")).unwrap().keys, [1, b'd']);
        assert_eq!(DetachKeys::parse(Some("ctrl-\\")).unwrap().keys, [28]);
        assert_eq!(DetachKeys::parse(Some("")).unwrap().keys, [16, 17]);
        assert!(DetachKeys::parse(Some("ctrl-!")).is_err());
        assert!(DetachKeys::parse(Some("a,,b")).is_err());
    }
}
