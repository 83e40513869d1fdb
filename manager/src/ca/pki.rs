//! What the cluster's records of roots and secrets mean.

use std::time::Duration;

use hoist_link::{Authority, JoinToken, LinkError, Subject, Trust};
use hoist_proto::{
    clock::Timestamp,
    spec::{Cluster, Pki, Role},
    wire::Certificate,
};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("the cluster is one node alone, and issues no certificates")]
    Alone,
    #[error("the cluster's root cannot be used")]
    Root(#[from] LinkError),
}

/// A root and secrets for a cluster that others shall be able to join.
///
/// # Errors
/// When the system has no randomness.
pub fn begin(now: Timestamp) -> Result<Pki, PkiError> {
    let authority = Authority::generate(now)?;
    Ok(Pki {
        root: authority.trust().pem().to_owned(),
        key: authority.key_pem(),
        worker_secret: hoist_link::secret(),
        manager_secret: hoist_link::secret(),
        rotation: None,
        unlock_key: None,
    })
}

/// Other secrets in join tokens.
pub fn rotate_tokens(pki: &mut Pki, worker: bool, manager: bool) {
    if worker {
        pki.worker_secret = hoist_link::secret();
    }
    if manager {
        pki.manager_secret = hoist_link::secret();
    }
}

/// The word that lets a node in with that role.
pub(crate) fn token(pki: &Pki, role: Role) -> Result<String, PkiError> {
    let secret = match role {
        Role::Worker => &pki.worker_secret,
        Role::Manager => &pki.manager_secret,
    };
    let fingerprint = Trust::from_pem(&pki.root)?.fingerprint();
    Ok(JoinToken { fingerprint, secret: secret.clone() }.to_string())
}

/// The roots that nodes are to believe, in PEM: the root, and the one that takes over.
pub(crate) fn bundle(pki: &Pki) -> String {
    let next = pki.rotation.as_ref().map(|rotation| rotation.root.as_str()).unwrap_or_default();
    format!("{}{next}", pki.root)
}

/// By which key certificates are signed now.
pub(crate) fn signing_key(pki: &Pki) -> Result<Vec<u8>, PkiError> {
    let root = pki.rotation.as_ref().map_or(&pki.root, |rotation| &rotation.root);
    Ok(Trust::from_pem(root)?.key_id().to_vec())
}

/// A certificate for the key of `request`.
pub(crate) fn issue(
    cluster: &Cluster,
    request: &[u8],
    subject: &Subject,
    now: Timestamp,
) -> Result<Certificate, PkiError> {
    let pki = cluster.pki.as_ref().ok_or(PkiError::Alone)?;
    // Lives shorter than the clocks' differences would be none.
    let life = cluster.spec.certificate_life.max(Duration::from_secs(60));
    let mut chain;
    match &pki.rotation {
        None => chain = Authority::from_pem(&pki.root, &pki.key)?.issue(request, subject, now, life)?,
        Some(rotation) => {
            chain = Authority::from_pem(&rotation.root, &rotation.key)?.issue(request, subject, now, life)?;
            // Those that know only the root before it believe it by this.
            chain.push_str(&rotation.vouched);
        }
    }
    Ok(Certificate { chain, roots: bundle(pki) })
}
