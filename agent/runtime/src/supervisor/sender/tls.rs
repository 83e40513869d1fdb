//! A syslog server over TLS (RFC 5425's transport; messages end with a line's end, as Docker sends them).

use std::io::{self, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};

use super::super::protocol::SyslogTls;

/// Where distributions keep their bundle of trusted authorities.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A connection whose server has shown who it is.
pub(super) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Reads the files that the settings name.
pub(super) fn config(settings: &SyslogTls) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = if settings.skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
    } else {
        builder.with_root_certificates(authorities(settings.ca.as_deref())?)
    };
    let config = match (&settings.cert, &settings.key) {
        (Some(cert), Some(key)) => {
            let failed = |error: rustls::pki_types::pem::Error| bad(key, &error);
            let key = PrivateKeyDer::from_pem_file(key).map_err(failed)?;
            builder.with_client_auth_cert(certificates(cert)?, key).map_err(|error| bad(cert, &error))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Shakes hands; a server that is another than it says is refused.
pub(super) fn connect(config: &Arc<ClientConfig>, host: &str, mut stream: TcpStream) -> io::Result<TlsStream> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// Writes all of it to the wire.
pub(super) fn write(stream: &mut TlsStream, message: &[u8]) -> io::Result<()> {
    stream.write_all(message)?;
    stream.flush()
}

fn authorities(own: Option<&Path>) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    if let Some(path) = own {
        for certificate in certificates(path)? {
            store.add(certificate).map_err(|error| bad(path, &error))?;
        }
        return Ok(store);
    }
    let bundle = BUNDLES.iter().map(Path::new).find(|path| path.exists()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "this machine has no trusted authorities: give syslog-tls-ca-cert")
    })?;
    store.add_parsable_certificates(certificates(bundle)?);
    Ok(store)
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<_, _>>)
        .map_err(|error| bad(path, &error))?;
    if all.is_empty() { Err(bad(path, &"it has no certificate")) } else { Ok(all) }
}

fn bad(path: &Path, why: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {why}", path.display()))
}

/// Takes any certificate, as a person asked with `syslog-tls-skip-verify`.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
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
