//! What nodes ask: to be let in, for another certificate, for a place among the managers, to be let go.

use std::time::Duration;

use hoist_link::{Identity, Peer, Subject};
use hoist_proto::{
    id::NodeId,
    protocol::Protocol,
    spec::{Availability, Cluster, Meta, Node, NodeDescription, NodeSpec, NodeState, NodeStatus, RaftMember, Role},
    wire::{
        Admission, Certificate, EnlistRequest, EnlistResponse, JoinRequest, LeaveRequest, LeaveResponse, RenewRequest,
        membership_server::{self, MembershipServer},
    },
};
use hoist_raft::Raft;
use hoist_store::{Store, StoreError};
use tonic::{Request, Response, Status};

use super::issue;
use crate::{agreement, caller, leader::Leadership, peers};

/// No message of this service is longer.
const MAX_MESSAGE: usize = 256 << 10;
/// A majority that is there answers within this time.
const PATIENCE: Duration = Duration::from_secs(10);

type Answer<T> = Result<Response<T>, Status>;

/// The membership's gRPC service.
#[derive(Debug, Clone)]
pub(crate) struct MembershipService {
    pub(crate) store: Store,
    pub(crate) raft: Raft,
    pub(crate) leadership: Leadership,
}

/// Compares without telling by the time how much was right.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |odd, (a, b)| odd | (a ^ b)) == 0
}

fn refused(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

impl MembershipService {
    pub(crate) fn server(self) -> MembershipServer<Self> {
        MembershipServer::new(self).max_decoding_message_size(MAX_MESSAGE)
    }

    /// A transaction that does not wait for ever when the majority is gone.
    async fn update<R>(
        &self,
        write: impl FnOnce(&mut hoist_store::Tx<'_>) -> Result<R, StoreError>,
    ) -> Result<R, Status> {
        match tokio::time::timeout(PATIENCE, self.store.update(write)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(StoreError::Propose(error))) => Err(Status::unavailable(error.to_string())),
            Ok(Err(error @ StoreError::NotFound { .. })) => Err(Status::not_found(error.to_string())),
            Ok(Err(error)) => Err(Status::aborted(error.to_string())),
            Err(_) => Err(Status::deadline_exceeded("the managers have no majority, or the leader is overloaded")),
        }
    }

    fn cluster(&self) -> Result<Cluster, Status> {
        let cluster = self.store.view(|tables| tables.cluster().map(|cluster| (**cluster).clone()));
        cluster.ok_or_else(|| Status::unavailable("the cluster's record is not here yet"))
    }

    /// The caller's record. One that was removed is nobody any more, whatever its certificate says.
    fn record(&self, identity: &Identity) -> Result<Node, Status> {
        let id = &identity.subject.node;
        self.store.view(|tables| tables.get::<Node>(id).map(|node| (**node).clone())).ok_or_else(|| {
            tracing::warn!(node = %id, "a call of a node that is not of this cluster was refused");
            Status::permission_denied(format!("node {id} is not of this cluster"))
        })
    }

    /// The role that a secret gives.
    fn role(&self, cluster: &Cluster, secret: &str, from: Option<&Peer>) -> Result<Role, Status> {
        let pki = cluster.pki.as_ref().ok_or_else(|| Status::failed_precondition("this cluster takes nobody in"))?;
        if same(secret, &pki.manager_secret) {
            return Ok(Role::Manager);
        }
        if same(secret, &pki.worker_secret) {
            return Ok(Role::Worker);
        }
        tracing::warn!(address = ?from.and_then(|peer| peer.address), "a node with a wrong join token was refused");
        Err(Status::permission_denied("a valid join token is necessary to join this cluster"))
    }
}

/// `host:port`, with the caller's host where it left that out.
fn complete(address: &str, from: Option<&Peer>) -> Result<String, Status> {
    let (host, port) = address.rsplit_once(':').ok_or_else(|| refused("the node's address is not HOST:PORT"))?;
    let port: u16 = port.parse().map_err(|_| refused("the node's address is not HOST:PORT"))?;
    if !host.is_empty() {
        return Ok(format!("{host}:{port}"));
    }
    let peer = from.and_then(|peer| peer.address).ok_or_else(|| refused("the node's address is not known"))?;
    Ok(std::net::SocketAddr::new(peer.ip(), port).to_string())
}

/// The host of `host:port`.
pub fn host(address: &str) -> String {
    address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']).to_owned()
}

#[tonic::async_trait]
impl membership_server::Membership for MembershipService {
    async fn join(&self, request: Request<JoinRequest>) -> Answer<Admission> {
        self.leadership.require()?;
        let peer = request.extensions().get::<Peer>().cloned();
        let request = request.into_inner();
        let cluster = self.cluster()?;
        let role = self.role(&cluster, &request.secret, peer.as_ref())?;
        let (oldest, newest) = (request.protocol, request.newest.max(request.protocol));
        let spoken = agreement::Spoken { oldest: Protocol::new(oldest), newest: Protocol::new(newest) };
        if let Err(why) = agreement::may_take_part(&cluster, self.store.spoken(), spoken, role) {
            tracing::warn!(hostname = request.hostname, "a node that wanted to join was refused: {why}");
            return Err(Status::failed_precondition(why));
        }
        let availability = match request.availability.as_str() {
            "" | "active" => Availability::Active,
            "pause" => Availability::Pause,
            "drain" => Availability::Drain,
            other => return Err(refused(format!("{other:?} is no availability: active, pause or drain"))),
        };
        let address = complete(&request.address, peer.as_ref())?;
        let id = NodeId::random();
        let subject = Subject { node: id.clone(), cluster: cluster.id.clone(), role };
        let certificate = issue(&cluster, &request.request, &subject, self.store.clock().now()).map_err(refused)?;
        let managers = self.store.view(peers::managers);
        let record = Node {
            id: id.clone(),
            meta: Meta::default(),
            spec: NodeSpec { role, availability, ..NodeSpec::default() },
            description: NodeDescription {
                hostname: request.hostname,
                protocol: spoken.newest,
                ..NodeDescription::default()
            },
            status: NodeStatus { address: host(&address), ..NodeStatus::default() },
            manager: role == Role::Manager,
            address: address.clone(),
            data_address: request.data_address,
            raft: None,
            mesh_address: None,
            mesh_address6: None,
        };
        self.update(|tx| tx.put(record)).await?;
        tracing::info!(node = %id, address, ?role, "a node has joined");
        Ok(Response::new(Admission { node_id: id.to_string(), certificate: Some(certificate), managers, address }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Answer<Certificate> {
        let identity = caller::node(&request)?;
        self.leadership.require()?;
        let (node, cluster) = (self.record(&identity)?, self.cluster()?);
        let role = if node.manager { Role::Manager } else { Role::Worker };
        let subject = Subject { node: node.id, cluster: cluster.id.clone(), role };
        let request = request.into_inner().request;
        issue(&cluster, &request, &subject, self.store.clock().now()).map(Response::new).map_err(refused)
    }

    async fn enlist(&self, request: Request<EnlistRequest>) -> Answer<EnlistResponse> {
        let identity = caller::with_role(&request, Role::Manager)?;
        self.leadership.require()?;
        let node = self.record(&identity)?;
        let request = request.into_inner();
        if !node.manager {
            return Err(Status::permission_denied(format!("node {} is no manager", node.id)));
        }
        agreement::may_manage(&self.cluster()?, &node).map_err(Status::failed_precondition)?;
        if request.raft_id == 0 {
            return Err(refused("0 is no manager's number"));
        }
        let address = complete(&request.address, None)?;
        self.raft.welcome().await.map_err(|error| Status::unavailable(error.to_string()))?;
        self.update(|tx| {
            if tx
                .nodes()
                .iter()
                .any(|other| other.id != node.id && other.raft.as_ref().is_some_and(|r| r.id == request.raft_id))
            {
                return Err(StoreError::NameTaken { kind: hoist_store::Kind::Node, name: request.raft_id.to_string() });
            }
            tx.modify::<Node>(&node.id, |node| {
                node.raft = Some(RaftMember { id: request.raft_id, reachable: true });
                node.status.address = host(&address);
                node.address = address;
            })
        })
        .await?;
        Ok(Response::new(EnlistResponse { managers: self.store.view(peers::managers) }))
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Answer<LeaveResponse> {
        let identity = caller::node(&request)?;
        self.leadership.require()?;
        let node = self.record(&identity)?;
        let id = node.id.clone();
        self.update(|tx| {
            let now = tx.now();
            tx.modify::<Node>(&id, |node| {
                node.status.state = NodeState::Down;
                node.status.message = "the node has left".into();
                node.status.since = now;
                // Its machine may come back as another node, with the key of its tunnels.
                node.description.tunnel_key = None;
                // A manager that leaves is no candidate for anything; the members' loop takes its vote away.
                node.spec.role = Role::Worker;
            })
        })
        .await?;
        tracing::info!(node = %id, "a node has left");
        Ok(Response::new(LeaveResponse {}))
    }
}
