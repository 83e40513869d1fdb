//! What can be wrong with certificates, tokens and connections.

use std::path::PathBuf;

/// Why there is no certificate, or no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Not a certificate, a key or a request for one.
    #[error("malformed {what}: {reason}")]
    Malformed { what: &'static str, reason: String },
    /// It could not be made or signed.
    #[error("cannot make a {what}")]
    Make {
        what: &'static str,
        #[source]
        source: rcgen::Error,
    },
    /// TLS does not take the certificates.
    #[error("the node's certificates cannot be used")]
    Tls(#[from] rustls::Error),
    /// Text that is no join token.
    #[error("invalid join token")]
    Token,
    /// Text that is no unlock key.
    #[error("invalid unlock key: expected SWMKEY-1- and 43 characters")]
    UnlockKey,
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    /// A file of the node's credentials.
    #[error("{}: {reason}", path.display())]
    Credentials { path: PathBuf, reason: String },
    #[error(transparent)]
    File(#[from] std::io::Error),
}

impl LinkError {
    pub(crate) fn malformed(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { what, reason: reason.to_string() }
    }
}
