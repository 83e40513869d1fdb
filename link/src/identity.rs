//! What a certificate says of a node.

use hoist_proto::{
    clock::Timestamp,
    id::{ClusterId, NodeId},
    spec::Role,
};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::LinkError;

/// Who a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The common name.
    pub node: NodeId,
    /// The organisation.
    pub cluster: ClusterId,
    /// The organisational unit.
    pub role: Role,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub subject: Subject,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// DER of the issuer's name, as `node inspect` shows it.
    pub issuer: Vec<u8>,
    /// Key identifier of the issuer: tells which root has signed.
    pub issuer_key: Vec<u8>,
}

/// The role as Swarm's certificates name it.
pub(crate) fn unit(role: Role) -> &'static str {
    match role {
        Role::Manager => "swarm-manager",
        Role::Worker => "swarm-worker",
    }
}

impl Identity {
    /// Reads a node's certificate. Whether it is to be believed was decided by TLS.
    ///
    /// # Errors
    /// When it is no certificate of a node.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, LinkError> {
        let wrong = |reason: &str| LinkError::malformed("certificate", reason);
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|err| wrong(&err.to_string()))?;
        let name = parsed.subject();
        let one = |mut values: Vec<&str>, what: &str| match (values.pop(), values.pop()) {
            (Some(value), None) => Ok(value.to_owned()),
            _ => Err(wrong(&format!("it does not have one {what}"))),
        };
        let node = one(name.iter_common_name().filter_map(|value| value.as_str().ok()).collect(), "common name")?;
        let cluster = one(name.iter_organization().filter_map(|value| value.as_str().ok()).collect(), "organisation")?;
        let units = name.iter_organizational_unit().filter_map(|value| value.as_str().ok()).collect();
        let role = match one(units, "organisational unit")?.as_str() {
            "swarm-manager" => Role::Manager,
            "swarm-worker" => Role::Worker,
            other => return Err(wrong(&format!("{other:?} is no role"))),
        };
        let time = |seconds: i64| Timestamp::from_second(seconds).map_err(|err| wrong(&err.to_string()));
        let issuer_key = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(key) => {
                key.key_identifier.as_ref().map(|id| id.0.to_vec())
            }
            _ => None,
        });
        Ok(Self {
            subject: Subject {
                node: node.parse().map_err(|err| wrong(&format!("{err}")))?,
                cluster: cluster.parse().map_err(|err| wrong(&format!("{err}")))?,
                role,
            },
            not_before: time(parsed.validity().not_before.timestamp())?,
            not_after: time(parsed.validity().not_after.timestamp())?,
            issuer: parsed.issuer().as_raw().to_vec(),
            issuer_key: issuer_key.unwrap_or_default(),
        })
    }
}
