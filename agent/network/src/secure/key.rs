//! The keys of machines, and what follows from them.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boringtun::x25519;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A machine's public key (Curve25519), written in base64 as WireGuard's tools write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeKey([u8; 32]);

/// What is no key: not 32 bytes in base64.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no public key: expected 32 bytes in base64")]
pub struct BadKey(String);

impl NodeKey {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The machine's address within the tunnel. It follows from the key, so that nobody has to give it, and nobody
    /// else can have it.
    pub(crate) fn inner(&self) -> Ipv6Addr {
        let hash = Sha256::digest(self.0);
        let mut address = [0xfd; 16];
        address[1..].copy_from_slice(&hash[..15]);
        address.into()
    }
}

impl FromStr for NodeKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| BadKey(text.to_owned()))
    }
}

impl TryFrom<String> for NodeKey {
    type Error = BadKey;

    fn try_from(text: String) -> Result<Self, BadKey> {
        text.parse()
    }
}

impl From<NodeKey> for String {
    fn from(key: NodeKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({self})")
    }
}

/// This machine's own key. It is in the memory of the daemon and of the kernel, and nowhere else.
#[derive(Clone)]
pub(crate) struct PrivateKey(x25519::StaticSecret);

impl PrivateKey {
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 32];
        crate::ident::fill(&mut bytes);
        Self(bytes.into())
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn public(&self) -> NodeKey {
        NodeKey(x25519::PublicKey::from(&self.0).to_bytes())
    }

    pub(crate) fn secret(&self) -> &x25519::StaticSecret {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_wireguard_writes_them() {
        // `wg pubkey` gives it for a private key of 32 ones.
        let key = PrivateKey::from_bytes([1; 32]).public();
        assert_eq!(key.to_string(), "pOCSkrZRwni5dyxWn1+puxPZBrRqtoyd+dwrRAn4ogk=");
        assert_eq!(key.to_string().parse::<NodeKey>().unwrap(), key);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "x", "aGVsbG8=", "////"] {
            assert!(bad.parse::<NodeKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_inner_address_is_the_keys_own() {
        let (one, two) = (PrivateKey::random().public(), PrivateKey::random().public());
        assert_eq!(one.inner(), one.inner());
        assert_ne!(one.inner(), two.inner());
        assert_eq!(one.inner().octets()[0], 0xfd);
    }
}
