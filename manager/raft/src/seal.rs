//! Records at rest: sealed, and bound to the place where they lie.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

use crate::KeyError;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Seals and opens records with one key.
pub(crate) struct Seal {
    cipher: XChaCha20Poly1305,
}

/// A record that was not sealed with this key in this place, or was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        // getrandom(2) with no flags fails only when interrupted before the pool is ready.
        if let Ok(read) = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            filled += read;
        }
    }
    bytes
}

impl Seal {
    pub(crate) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()) }
    }

    /// Reads the key file; makes it when there is none and `log`, which it seals, is not there either.
    pub(crate) fn open(path: &Path, log: &Path) -> Result<Self, KeyError> {
        let mut file = match fs_err::File::open(path) {
            Ok(file) => file,
            Err(err) if err.kind() == ErrorKind::NotFound => {
                if log.exists() {
                    return Err(KeyError::Missing { key: path.to_owned(), log: log.to_owned() });
                }
                return Self::create(path);
            }
            Err(err) => return Err(err.into()),
        };
        let mode = file.metadata()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Length {
            path: path.to_owned(),
            found: bytes.len(),
            wanted: KEY_BYTES,
        })?;
        Ok(Self::new(&key))
    }

    fn create(path: &Path) -> Result<Self, KeyError> {
        let key = random();
        let partial = path.with_extension("tmp");
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&partial)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs_err::rename(&partial, path)?;
        sync_parent(path)?;
        Ok(Self::new(&key))
    }

    /// The record as it may lie on disk at `place`.
    pub(crate) fn seal(&self, place: &str, record: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = random();
        let payload = Payload { msg: record, aad: place.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("the cipher takes 256 GiB at once, and memory does not hold that");
        let mut bytes = Vec::with_capacity(NONCE_BYTES + sealed.len());
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        bytes
    }

    /// The record back from what lies at `place`.
    pub(crate) fn unseal(&self, place: &str, bytes: &[u8]) -> Result<Vec<u8>, Broken> {
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(Broken)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| Broken)
    }
}

/// Makes the names in the directory of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(parent) => fs_err::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_only_where_and_with_what_it_was_sealed() {
        let seal = Seal::new(&[1; 32]);
        let bytes = seal.seal("entry 5", b"secret");
        assert!(!bytes.windows(6).any(|w| w == b"secret"));
        assert_eq!(seal.unseal("entry 5", &bytes), Ok(b"secret".to_vec()));
        assert_eq!(seal.unseal("entry 6", &bytes), Err(Broken));
        assert_eq!(Seal::new(&[2; 32]).unseal("entry 5", &bytes), Err(Broken));
        assert_eq!(seal.unseal("entry 5", &bytes[..bytes.len() - 1]), Err(Broken));
        assert_eq!(seal.unseal("entry 5", &[]), Err(Broken));
    }

    #[test]
    fn the_key_file_is_private_and_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let (key, log) = (dir.path().join("key"), dir.path().join("log"));
        let bytes = Seal::open(&key, &log).unwrap().seal("x", b"y");
        assert_eq!(fs_err::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Seal::open(&key, &log).unwrap().unseal("x", &bytes), Ok(b"y".to_vec()));

        fs_err::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Seal::open(&key, &log), Err(KeyError::Exposed { mode: 0o644, .. })));
        fs_err::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        fs_err::write(&key, b"short").unwrap();
        assert!(matches!(Seal::open(&key, &log), Err(KeyError::Length { found: 5, .. })));
        fs_err::remove_file(&key).unwrap();
        fs_err::write(&log, b"").unwrap();
        assert!(matches!(Seal::open(&key, &log), Err(KeyError::Missing { .. })));
    }
}
