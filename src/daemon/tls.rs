//! Mutual TLS: whoever shows no certificate of our authority gets no answer.

use std::{path::Path, sync::Arc};

use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

use super::{DaemonError, DaemonSettings};

/// What speaks TLS for the daemon.
///
/// # Errors
/// [`DaemonError::Tls`] when a file is missing or is no certificate, or no key for it.
pub fn acceptor(settings: &DaemonSettings) -> Result<TlsAcceptor, DaemonError> {
    let named = |what: &str, path: &Option<std::path::PathBuf>| {
        path.clone().ok_or_else(|| DaemonError::Tls(format!("--{what} is missing")))
    };
    let (ca, cert, key) = (
        named("tlscacert", &settings.tlscacert)?,
        named("tlscert", &settings.tlscert)?,
        named("tlskey", &settings.tlskey)?,
    );
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(&ca)? {
        authorities.add(certificate).map_err(|err| DaemonError::Tls(format!("{}: {err}", ca.display())))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider.clone())
        .build()
        .map_err(|err| DaemonError::Tls(format!("{}: {err}", ca.display())))?;
    let private = PrivateKeyDer::from_pem_file(&key)
        .map_err(|err| DaemonError::Tls(format!("cannot read the key {}: {err}", key.display())))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| DaemonError::Tls(err.to_string()))?
        .with_client_cert_verifier(clients)
        .with_single_cert(certificates(&cert)?, private)
        .map_err(|err| DaemonError::Tls(format!("{} with {}: {err}", cert.display(), key.display())))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DaemonError> {
    let fail = |reason: String| DaemonError::Tls(format!("cannot read certificates: {}: {reason}", path.display()));
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|err| fail(err.to_string()))?;
    if found.is_empty() { Err(fail("there are none in it".to_owned())) } else { Ok(found) }
}
