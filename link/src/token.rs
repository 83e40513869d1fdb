//! The words that people carry from one machine to another.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use crate::{LinkError, base36};

const PREFIX: &str = "SWMTKN-1";
const DIGEST: usize = 50;
const SECRET: usize = 25;

/// What lets a node in: the fingerprint of the cluster's root, and a secret that tells the role.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// [`crate::Trust::fingerprint`] of the root.
    pub fingerprint: String,
    pub secret: String,
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}-{}-{}", self.fingerprint, self.secret)
    }
}

// A token gets into logs; its secret must not.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}-{}-…", self.fingerprint)
    }
}

impl FromStr for JoinToken {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let rest = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('-')).ok_or(LinkError::Token)?;
        let (fingerprint, secret) = rest.split_once('-').ok_or(LinkError::Token)?;
        if !base36::is(fingerprint, DIGEST) || !base36::is(secret, SECRET) {
            return Err(LinkError::Token);
        }
        Ok(Self { fingerprint: fingerprint.to_owned(), secret: secret.to_owned() })
    }
}

/// The fingerprint's form in tokens.
pub(crate) fn fingerprint(digest: &[u8]) -> String {
    base36::encode(digest, DIGEST)
}

const KEY_PREFIX: &str = "SWMKEY-1-";
/// What opens a locked manager: 32 random bytes, as people see them.
#[derive(Clone, PartialEq, Eq)]
pub struct UnlockKey(pub [u8; 32]);

impl UnlockKey {
    /// A new one.
    pub fn random() -> Self {
        Self(base36::random())
    }
}

impl fmt::Debug for UnlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SWMKEY-1-…")
    }
}

impl fmt::Display for UnlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY_PREFIX}{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl FromStr for UnlockKey {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let digits = text.trim().strip_prefix(KEY_PREFIX).ok_or(LinkError::UnlockKey)?;
        let bytes = STANDARD_NO_PAD.decode(digits).map_err(|_| LinkError::UnlockKey)?;
        bytes.try_into().map(Self).map_err(|_| LinkError::UnlockKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = JoinToken { fingerprint: fingerprint(&[7; 32]), secret: base36::secret() };
        assert_eq!(token.to_string().parse::<JoinToken>().unwrap(), token);
        for wrong in ["", "SWMTKN-1-", "SWMTKN-2-a-b", &token.to_string()[1..], &format!("{token}x")] {
            assert!(wrong.parse::<JoinToken>().is_err(), "{wrong}");
        }
        assert!(!format!("{token:?}").contains(&token.secret));
    }

    #[test]
    fn an_unlock_key_is_read_as_it_was_written() {
        for key in [UnlockKey::random(), UnlockKey([0; 32]), UnlockKey([255; 32])] {
            assert_eq!(key.to_string().parse::<UnlockKey>().unwrap(), key);
        }
        assert!("SWMKEY-1-short".parse::<UnlockKey>().is_err());
    }
}
