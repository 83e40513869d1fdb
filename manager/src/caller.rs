//! Who calls, by the certificate that was shown.

use hoist_link::{Identity, Peer};
use hoist_proto::spec::Role;
use tonic::{Request, Status};

/// The node that calls.
pub(crate) fn node<T>(request: &Request<T>) -> Result<Identity, Status> {
    let peer = request.extensions().get::<Peer>();
    match peer.and_then(|peer| peer.identity.clone()) {
        Some(identity) => Ok(identity),
        None => {
            let address = peer.and_then(|peer| peer.address);
            tracing::warn!(?address, "a call without a certificate was refused");
            Err(Status::unauthenticated("a node's certificate is needed"))
        }
    }
}

/// The node that calls, which must have that role.
pub(crate) fn with_role<T>(request: &Request<T>, role: Role) -> Result<Identity, Status> {
    let identity = node(request)?;
    if identity.subject.role != role {
        tracing::warn!(node = %identity.subject.node, "a call that its role does not allow was refused");
        return Err(Status::permission_denied(match role {
            Role::Manager => "only managers may do this",
            Role::Worker => "only workers may do this",
        }));
    }
    Ok(identity)
}
