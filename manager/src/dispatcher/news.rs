//! What a session tells its node of the cluster.

use hoist_proto::{
    id::{NodeId, SessionId},
    spec::Node,
    wire::SessionMessage,
};
use hoist_store::Tables;

use super::json;
use crate::{ca, peers};

/// The node's record, the managers, and whether its certificate will do.
pub(crate) fn of(tables: &Tables, node: &NodeId, session: &SessionId) -> SessionMessage {
    let record = tables.get::<Node>(node);
    let pki = tables.cluster().and_then(|cluster| cluster.pki.as_ref());
    let renew = pki.filter(|pki| pki.rotation.is_some()).is_some_and(|pki| {
        let tls = record.and_then(|node| node.description.tls.as_ref());
        ca::signing_key(pki).is_ok_and(|key| tls.is_none_or(|tls| tls.issuer_key != key))
    });
    // Of the record only what the node goes by: its status changes with every call.
    let told = record.map(|record| {
        let mut record = (**record).clone();
        record.meta = Default::default();
        record.status = Default::default();
        record.description = Default::default();
        json(&record)
    });
    SessionMessage {
        session_id: session.to_string(),
        node: told.unwrap_or_default(),
        managers: peers::managers(tables),
        roots: pki.map(ca::bundle).unwrap_or_default(),
        renew,
        cluster_id: tables.cluster().map(|cluster| cluster.id.to_string()).unwrap_or_default(),
    }
}
