//! The way in: messages of other managers for this manager's raft.

use futures_util::StreamExt;
use hoist_proto::{
    spec::Role,
    wire::{
        RaftDone, RaftMessages, RaftSnapshot,
        raft_server::{self, RaftServer},
    },
};
use hoist_raft::{
    Raft,
    messages::{Message, MessageType},
};
use protobuf::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{MAX_MESSAGE, MAX_SNAPSHOT, PART};
use crate::caller;

/// Raft's gRPC service.
#[derive(Debug, Clone)]
pub(crate) struct RaftService {
    raft: Raft,
    cancel: CancellationToken,
}

impl RaftService {
    pub(crate) fn new(raft: Raft, cancel: CancellationToken) -> Self {
        Self { raft, cancel }
    }

    pub(crate) fn server(self) -> RaftServer<Self> {
        RaftServer::new(self).max_decoding_message_size(MAX_MESSAGE)
    }

    /// A message for this manager, and for nobody else.
    fn read(&self, bytes: &[u8]) -> Result<Message, Status> {
        let message = Message::parse_from_bytes(bytes)
            .map_err(|err| Status::invalid_argument(format!("malformed raft message: {err}")))?;
        let id = self.raft.status().borrow().id;
        if message.to != id {
            return Err(Status::failed_precondition(format!("this manager is {id}, not {}", message.to)));
        }
        // Those that a node sends to itself only must not come from elsewhere.
        if matches!(
            message.get_msg_type(),
            MessageType::MsgHup
                | MessageType::MsgBeat
                | MessageType::MsgUnreachable
                | MessageType::MsgSnapStatus
                | MessageType::MsgCheckQuorum
        ) {
            return Err(Status::invalid_argument("a raft message that is no peer's to send"));
        }
        Ok(message)
    }
}

#[tonic::async_trait]
impl raft_server::Raft for RaftService {
    async fn messages(&self, request: Request<Streaming<RaftMessages>>) -> Result<Response<RaftDone>, Status> {
        caller::with_role(&request, Role::Manager)?;
        let mut batches = request.into_inner();
        loop {
            let batch = tokio::select! {
                () = self.cancel.cancelled() => break,
                batch = batches.next() => match batch {
                    Some(batch) => batch?,
                    None => break,
                },
            };
            for bytes in &batch.messages {
                self.raft.step(self.read(bytes)?);
            }
        }
        Ok(Response::new(RaftDone {}))
    }

    async fn snapshot(&self, request: Request<Streaming<RaftSnapshot>>) -> Result<Response<RaftDone>, Status> {
        caller::with_role(&request, Role::Manager)?;
        let mut parts = request.into_inner();
        let Some(first) = parts.next().await.transpose()? else {
            return Err(Status::invalid_argument("a snapshot without parts"));
        };
        let mut message = self.read(&first.message)?;
        if message.get_msg_type() != MessageType::MsgSnapshot {
            return Err(Status::invalid_argument("a message that is no snapshot"));
        }
        let mut data = first.data;
        while let Some(part) = parts.next().await.transpose()? {
            if part.data.len() > 2 * PART || data.len() + part.data.len() > MAX_SNAPSHOT {
                return Err(Status::out_of_range("a snapshot that is too large"));
            }
            data.extend_from_slice(&part.data);
        }
        message.mut_snapshot().set_data(data.into());
        self.raft.step(message);
        Ok(Response::new(RaftDone {}))
    }
}
