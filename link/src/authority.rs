//! Roots: made, issuing, and vouching for their successors.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use hoist_proto::clock::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, pem::PemObject};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{LinkError, Subject, base36, identity::unit, request::NodeKey, token};

/// A root is for twenty years.
const ROOT_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// Clocks of nodes differ.
const SKEW: Duration = Duration::from_secs(3600);
/// No request for a certificate is longer.
const MAX_REQUEST: usize = 16 << 10;

/// A root certificate and its key.
pub struct Authority {
    trust: Trust,
    key: KeyPair,
}

/// A root certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    pem: String,
    der: CertificateDer<'static>,
    key_id: Vec<u8>,
    subject: Vec<u8>,
    public_key: Vec<u8>,
}

impl Trust {
    /// Reads one certificate.
    ///
    /// # Errors
    /// When it is none that may sign others.
    pub fn from_pem(pem: &str) -> Result<Self, LinkError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|err| LinkError::malformed("root certificate", err))?;
        Self::from_der(&der)
    }

    pub(crate) fn from_der(der: &CertificateDer<'_>) -> Result<Self, LinkError> {
        let (_, parsed) =
            X509Certificate::from_der(der).map_err(|err| LinkError::malformed("root certificate", err))?;
        if !parsed.is_ca() {
            return Err(LinkError::malformed("root certificate", "it may not sign others"));
        }
        let key_id = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        Ok(Self {
            pem: pem(der),
            key_id: key_id.unwrap_or_default(),
            subject: parsed.subject().as_raw().to_vec(),
            public_key: parsed.public_key().raw.to_vec(),
            der: der.clone().into_owned(),
        })
    }

    /// The certificate in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The form in which join tokens name it.
    pub fn fingerprint(&self) -> String {
        token::fingerprint(&Sha256::digest(&self.der))
    }

    /// What certificates name as their issuer's key.
    pub fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// DER of its name.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// DER of its public key.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

/// A certificate in PEM.
pub(crate) fn pem(der: &[u8]) -> String {
    use std::fmt::Write;
    let text = STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        let _ = writeln!(out, "{}", String::from_utf8_lossy(line));
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

fn at(time: Timestamp) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(time.as_second()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

fn root_params(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "swarm-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from_slice(&base36::random::<16>()));
    params.not_before = at(now - SKEW);
    params.not_after = at(now + ROOT_LIFE);
    params
}

impl Authority {
    /// A new root.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn generate(now: Timestamp) -> Result<Self, LinkError> {
        let key = NodeKey::generate()?.0;
        let certificate = root_params(now)
            .self_signed(&key)
            .map_err(|source| LinkError::Make { what: "root certificate", source })?;
        Ok(Self { trust: Trust::from_der(certificate.der())?, key })
    }

    /// A root from its certificate and key.
    ///
    /// # Errors
    /// When they are malformed or do not belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, LinkError> {
        let (trust, key) = (Trust::from_pem(certificate)?, NodeKey::from_pem(key)?.0);
        if rcgen::PublicKeyData::subject_public_key_info(&key) != trust.public_key() {
            return Err(LinkError::malformed("root certificate", "the key is another's"));
        }
        Ok(Self { trust, key })
    }

    /// The certificate.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The key in PEM.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    fn issuer(&self) -> Result<Issuer<'_, &KeyPair>, LinkError> {
        Issuer::from_ca_cert_der(&self.trust.der, &self.key)
            .map_err(|source| LinkError::Make { what: "certificate", source })
    }

    /// A certificate for the key of `request` (DER), in PEM. What the request says of itself is not heard.
    ///
    /// # Errors
    /// When the request is malformed or not signed by its own key.
    pub fn issue(
        &self,
        request: &[u8],
        subject: &Subject,
        now: Timestamp,
        life: Duration,
    ) -> Result<String, LinkError> {
        if request.len() > MAX_REQUEST {
            return Err(LinkError::malformed("certificate request", "it is too long"));
        }
        let asked = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))
            .map_err(|err| LinkError::malformed("certificate request", err))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, subject.cluster.as_str());
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit(subject.role));
        params.distinguished_name.push(DnType::CommonName, subject.node.as_str());
        let name = |text: &str| {
            text.try_into().map(SanType::DnsName).map_err(|source| LinkError::Make { what: "certificate", source })
        };
        params.subject_alt_names = vec![name(subject.node.as_str())?, name(unit(subject.role))?];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(&base36::random::<16>()));
        // A short life must not be over before it begins, and a clock that is behind must find it begun.
        params.not_before = at(now - SKEW);
        params.not_after = at(now + life);
        let certificate = params
            .signed_by(&asked.public_key, &self.issuer()?)
            .map_err(|source| LinkError::Make { what: "certificate", source })?;
        Ok(pem(certificate.der()))
    }

    /// The successor's certificate signed by this root, in PEM: whoever trusts this one believes those that the
    /// successor issues when this is shown with them.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn vouch_for(&self, next: &Self, now: Timestamp) -> Result<String, LinkError> {
        let mut params = root_params(now);
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .signed_by(&next.key, &self.issuer()?)
            .map_err(|source| LinkError::Make { what: "root certificate", source })?;
        Ok(pem(certificate.der()))
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.trust.fingerprint()).finish_non_exhaustive()
    }
}
