//! A node's API for managers: bytes over the cluster's port.

use std::{io, pin::Pin};

use futures_util::{Stream, StreamExt};
use hoist_link::{Peer, To};
use hoist_proto::{
    id::NodeId,
    spec::{Node, Role},
    wire::{
        TunnelBytes,
        tunnel_client::TunnelClient,
        tunnel_server::{self, TunnelServer},
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{Member, MemberError};

/// What each direction holds before the writer waits.
const PIPE: usize = 256 << 10;
/// Bytes of one message.
const PART: usize = 64 << 10;
pub const MAX_MESSAGE: usize = 1 << 20;

/// The tunnel's gRPC service.
#[derive(Clone)]
pub struct Service {
    member: Member,
    cancel: CancellationToken,
}

impl Service {
    pub fn new(member: Member, cancel: CancellationToken) -> Self {
        Self { member, cancel }
    }

    pub fn server(self) -> TunnelServer<Self> {
        TunnelServer::new(self).max_decoding_message_size(MAX_MESSAGE)
    }

    /// Only managers, and on a manager only those that are managers still.
    fn admit(&self, peer: Option<&Peer>) -> Result<(), Status> {
        let identity = peer.and_then(|peer| peer.identity.as_ref());
        let Some(identity) = identity.filter(|identity| identity.subject.role == Role::Manager) else {
            tracing::warn!(address = ?peer.and_then(|peer| peer.address), "a tunnel for one that is no manager was refused");
            return Err(Status::permission_denied("only managers may use a node's API"));
        };
        let record: Option<Option<Node>> =
            self.member.control().map(|control| control.node(identity.subject.node.as_str()).ok());
        match record {
            Some(Some(node)) if node.manager => Ok(()),
            // A worker has no records, and a new manager has none yet.
            None => Ok(()),
            Some(_) if self.member.control().is_some_and(|control| control.nodes().is_empty()) => Ok(()),
            Some(_) => Err(Status::permission_denied("the caller is no manager any more")),
        }
    }
}

#[tonic::async_trait]
impl tunnel_server::Tunnel for Service {
    type OpenStream = Pin<Box<dyn Stream<Item = Result<TunnelBytes, Status>> + Send>>;
    type ImagesStream = Self::OpenStream;

    async fn images(&self, request: Request<Streaming<TunnelBytes>>) -> Result<Response<Self::ImagesStream>, Status> {
        let peer = request.extensions().get::<Peer>();
        let identity = peer.and_then(|peer| peer.identity.as_ref());
        let Some(identity) = identity else {
            return Err(Status::permission_denied("only nodes of the cluster may have its images"));
        };
        // A worker has no records; a manager knows who was removed.
        let known = self
            .member
            .control()
            .is_none_or(|control| control.nodes().is_empty() || control.node(identity.subject.node.as_str()).is_ok());
        if !known {
            return Err(Status::permission_denied("the caller is no node of the cluster any more"));
        }
        let router = crate::api::peers::router(self.member.inner.parts.engine.images().clone());
        Ok(Response::new(self.serve(router, request.into_inner())))
    }

    async fn open(&self, request: Request<Streaming<TunnelBytes>>) -> Result<Response<Self::OpenStream>, Status> {
        self.admit(request.extensions().get::<Peer>())?;
        let router = self.member.inner.router.get().cloned();
        let router = router.ok_or_else(|| Status::unavailable("the node's daemon is starting"))?;
        Ok(Response::new(self.serve(router, request.into_inner())))
    }
}

impl Service {
    /// Serves one connection's bytes.
    fn serve(
        &self,
        router: axum::Router,
        incoming: Streaming<TunnelBytes>,
    ) -> Pin<Box<dyn Stream<Item = Result<TunnelBytes, Status>> + Send>> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let cancel = self.cancel.clone();
        tokio::spawn(async move { crate::api::serve_tunnel(theirs, router, cancel).await });
        let (reader, writer) = tokio::io::split(ours);
        let cancel = self.cancel.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = pour(incoming, writer) => {}
            }
        });
        Box::pin(drain(reader).map(Ok))
    }
}

/// From messages into a writer, until either ends.
pub async fn pour(mut from: Streaming<TunnelBytes>, mut to: impl tokio::io::AsyncWrite + Unpin) {
    while let Some(Ok(part)) = from.next().await {
        if to.write_all(&part.data).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// What a reader gives, as messages.
fn drain(mut from: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> impl Stream<Item = TunnelBytes> + Send {
    async_stream::stream! {
        let mut buffer = vec![0; PART];
        loop {
            match from.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => yield TunnelBytes { data: buffer[..read].to_vec() },
            }
        }
    }
}

/// What a reader gives, for a call that is about to be made.
pub fn outgoing(reader: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> ReceiverStream<TunnelBytes> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut parts = std::pin::pin!(drain(reader));
        while let Some(part) = parts.next().await {
            if sender.send(part).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}

impl Member {
    /// A connection to another node's API.
    ///
    /// # Errors
    /// When this node is no manager, or the other cannot be reached.
    pub async fn tunnel(&self, node: &NodeId) -> Result<DuplexStream, MemberError> {
        let now = self.now();
        let place = now.place.ok_or(MemberError::NotPart)?;
        let control = now.control.ok_or_else(|| MemberError::Invalid("only managers reach other nodes".into()))?;
        let record = control.node(node.as_str())?;
        if record.address.is_empty() {
            return Err(MemberError::Invalid(format!("node {node} has no address")));
        }
        let channel = place.link.channel(&record.address, To::Node(record.id.clone()));
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let (reader, writer) = tokio::io::split(theirs);
        let mut client = TunnelClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let opened = client.open(outgoing(reader)).await;
        let incoming = opened.map_err(|status| {
            let name =
                if record.description.hostname.is_empty() { node.to_string() } else { record.description.hostname };
            MemberError::Refused(format!("node {name} ({}) cannot be reached: {}", record.address, status.message()))
        })?;
        tokio::spawn(pour(incoming.into_inner(), writer));
        Ok(ours)
    }
}

impl From<MemberError> for io::Error {
    fn from(error: MemberError) -> Self {
        Self::other(error.to_string())
    }
}
