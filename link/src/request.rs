//! A node's key, which never leaves the node.

use rcgen::{CertificateParams, KeyPair};

use crate::LinkError;

/// A private key.
pub struct NodeKey(pub(crate) KeyPair);

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeKey")
    }
}

impl NodeKey {
    /// A new key, on the curve P-256.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, LinkError> {
        KeyPair::generate().map(Self).map_err(|source| LinkError::Make { what: "key", source })
    }

    /// Reads a key from PEM.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(pem: &str) -> Result<Self, LinkError> {
        KeyPair::from_pem(pem).map(Self).map_err(|err| LinkError::malformed("key", err))
    }

    /// PKCS #8 in PEM.
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// A request for a certificate, in DER. Who it is for is the issuer's to say.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn request(&self) -> Result<Vec<u8>, LinkError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let request = params
            .serialize_request(&self.0)
            .map_err(|source| LinkError::Make { what: "certificate request", source })?;
        Ok(request.der().to_vec())
    }
}
