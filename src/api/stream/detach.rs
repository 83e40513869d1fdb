//! The keys that end an attachment and leave the process running.

use crate::api::error::ApiError;

/// A sequence of keys being watched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl Default for DetachKeys {
    /// Ctrl-P, Ctrl-Q.
    fn default() -> Self {
        Self { keys: vec![16, 17], matched: 0 }
    }
}

impl DetachKeys {
    /// Parses `ctrl-p,ctrl-q`, `ctrl-a,d`; empty is the usual ones.
    ///
    /// # Errors
    /// 400 names the key that is none.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let keys = text.split(',').map(|key| {
            let code = match key.as_bytes() {
                [byte] => Some(*byte),
                [b'c', b't', b'r', b'l', b'-', key] => match key {
                    b'a'..=b'z' => Some(key - b'a' + 1),
                    b'@' => Some(0),
                    b'[' | b'\\' | b']' | b'^' | b'_' => Some(key - b'[' + 27),
                    _ => None,
                },
                _ => None,
            };
            code.ok_or_else(|| ApiError::bad_request(format!("invalid detach keys ({text}): unknown key {key:?}")))
        });
        Ok(Self { keys: keys.collect::<Result<_, _>>()?, matched: 0 })
    }

    /// Looks at input on its way and passes on what is not part of the sequence; true when it is complete.
    pub fn watch(&mut self, input: &[u8], passed: &mut Vec<u8>) -> bool {
        for byte in input {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return true;
                }
                continue;
            }
            // What was held back belongs to the process after all; the byte may begin anew.
            passed.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if *byte == self.keys[0] && self.keys.len() > 1 {
                self.matched = 1;
            } else {
                passed.push(*byte);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_parsed() {
        assert_eq!(DetachKeys::parse("ctrl-p,ctrl-q").unwrap(), DetachKeys::default());
        assert_eq!(DetachKeys::parse("ctrl-[,a").unwrap().keys, [27, b'a']);
        assert!(DetachKeys::parse("ctrl-1").unwrap_err().message.contains("ctrl-1"));
        assert!(DetachKeys::parse("a,,b").is_err());
    }

    #[test]
    fn half_a_sequence_is_passed_on() {
        let mut keys = DetachKeys::default();
        let mut passed = Vec::new();
        assert!(!keys.watch(b"ab\x10", &mut passed));
        assert_eq!(passed, b"ab");
        assert!(!keys.watch(b"\x10c", &mut passed));
        assert_eq!(passed, b"ab\x10\x10c");
        assert!(!keys.watch(b"\x10", &mut passed));
        assert!(keys.watch(b"\x11rest", &mut passed));
        assert_eq!(passed, b"ab\x10\x10c");
    }
}
