//! Files that only the unlock key opens.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

use crate::UnlockKey;

/// How a file begins that is locked.
const MAGIC: &[u8] = b"hoist-locked-1\n";
const NONCE: usize = 24;

impl UnlockKey {
    /// Whether the bytes of a file are locked.
    pub fn is_locked(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// The bytes as they may lie in the file of this name.
    pub fn lock(&self, name: &str, bytes: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE] = crate::base36::random();
        let payload = Payload { msg: bytes, aad: name.as_bytes() };
        let sealed = XChaCha20Poly1305::new((&self.0).into())
            .encrypt(&XNonce::from(nonce), payload)
            .expect("the cipher takes 256 GiB at once, and memory does not hold that");
        [MAGIC, &nonce, &sealed].concat()
    }

    /// The bytes back from the file of this name; `None` when they were locked with another key, or changed.
    pub fn unlock(&self, name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: name.as_bytes() };
        XChaCha20Poly1305::new((&self.0).into()).decrypt(&XNonce::from(*nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_opens_what_it_locked_and_only_in_its_place() {
        let key = UnlockKey::random();
        let locked = key.lock("node.key", b"secret");
        assert!(UnlockKey::is_locked(&locked) && !UnlockKey::is_locked(b"secret"));
        assert!(!locked.windows(6).any(|part| part == b"secret"));
        assert_eq!(key.unlock("node.key", &locked).as_deref(), Some(&b"secret"[..]));
        assert_eq!(key.unlock("key", &locked), None);
        assert_eq!(UnlockKey::random().unlock("node.key", &locked), None);
        assert_eq!(key.unlock("node.key", &locked[..locked.len() - 1]), None);
    }
}
