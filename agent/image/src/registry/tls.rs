//! TLS: the machine's trusted authorities, those given for one registry, and client certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::error::Error;

/// Where distributions keep their bundle of trusted authorities.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The files that a `certs.d` directory has for a registry.
#[derive(Debug, Default)]
pub(crate) struct HostFiles {
    authorities: Vec<PathBuf>,
    clients: Vec<(PathBuf, PathBuf)>,
}

impl HostFiles {
    /// Looks for `<dir>/<host[:port]>/`: `*.crt` are authorities, `*.cert` with `*.key` client certificates, as Docker has it.
    pub(crate) fn find(dirs: &[PathBuf], host: &str) -> HostFiles {
        let mut found = HostFiles::default();
        for dir in dirs {
            let Ok(entries) = fs::read_dir(dir.join(host)) else { continue };
            let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
            paths.sort();
            for path in paths {
                match path.extension().and_then(|e| e.to_str()) {
                    Some("crt") => found.authorities.push(path),
                    Some("cert") => found.clients.push((path.clone(), path.with_extension("key"))),
                    _ => {}
                }
            }
        }
        found
    }
}

/// The TLS settings for a registry. With `unchecked` any certificate will do.
pub(crate) fn config(files: &HostFiles, unchecked: bool) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::invalid("TLS settings", e.to_string()))?;
    let builder = if unchecked {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
    } else {
        builder.with_root_certificates(authorities(files)?)
    };
    match files.clients.first() {
        None => Ok(builder.with_no_client_auth()),
        Some((cert, key)) => {
            let chain = certificates(cert)?;
            let key_der = PrivateKeyDer::from_pem_file(key)
                .map_err(|e| Error::invalid(format!("client key {}", key.display()), e.to_string()))?;
            builder
                .with_client_auth_cert(chain, key_der)
                .map_err(|e| Error::invalid(format!("client certificate {}", cert.display()), e.to_string()))
        }
    }
}

fn authorities(files: &HostFiles) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    let bundle = std::env::var_os("SSL_CERT_FILE")
        .map(PathBuf::from)
        .or_else(|| BUNDLES.iter().map(PathBuf::from).find(|p| p.exists()));
    if let Some(bundle) = bundle {
        // The system's bundle may hold some certificates that are of no use here; the others count.
        store.add_parsable_certificates(certificates(&bundle)?);
    }
    for path in &files.authorities {
        for certificate in certificates(path)? {
            store
                .add(certificate)
                .map_err(|e| Error::invalid(format!("certificate authority {}", path.display()), e.to_string()))?;
        }
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = fs::read(path).map_err(|e| Error::io("read", path, e))?;
    CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|e| Error::invalid(format!("certificate file {}", path.display()), e.to_string()))
}

/// Takes any certificate: for registries that the operator listed as insecure.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
