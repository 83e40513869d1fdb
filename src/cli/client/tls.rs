//! TLS to a daemon elsewhere: its certificate is checked, and ours is shown.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::ClientError;

/// The files by which client and daemon know each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl TlsFiles {
    /// `ca.pem`, `cert.pem` and `key.pem` of a directory.
    pub fn of(dir: &Path) -> Self {
        Self { ca: dir.join("ca.pem"), cert: dir.join("cert.pem"), key: dir.join("key.pem") }
    }

    /// Dials and shakes hands.
    pub(super) async fn connect(&self, address: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let name = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(std::io::Error::other)?;
        let config = self.config().map_err(|err| std::io::Error::other(err.to_string()))?;
        let stream = TcpStream::connect(address).await?;
        // Keys typed one by one must not wait for each other; where it cannot be had, they do.
        let _ = stream.set_nodelay(true);
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    fn config(&self) -> Result<ClientConfig, ClientError> {
        let fail = |path: &Path, reason: String| ClientError::Tls { path: path.to_owned(), reason };
        let read = |path: &Path| -> Result<Vec<CertificateDer<'static>>, ClientError> {
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|err| fail(path, err.to_string()))
        };
        let mut authorities = RootCertStore::empty();
        for certificate in read(&self.ca)? {
            authorities.add(certificate).map_err(|err| fail(&self.ca, err.to_string()))?;
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|err| fail(&self.key, err.to_string()))?;
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|err| fail(&self.ca, err.to_string()))?
            .with_root_certificates(authorities)
            .with_client_auth_cert(read(&self.cert)?, key)
            .map_err(|err| fail(&self.cert, err.to_string()))
    }
}
