//! An agent and a dispatcher in one process: gRPC over pipes in memory.

use std::io;

use futures_util::Stream;
use hyper_util::rt::TokioIo;
use tokio::{io::DuplexStream, sync::mpsc};
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};
use tonic::transport::{Channel, Endpoint};

/// What each direction holds before the writer waits.
const PIPE: usize = 64 << 10;

/// A channel for the agent, and the connections that come out of it for
/// [`tonic::transport::server::Router::serve_with_incoming`].
pub fn pipe() -> (Channel, impl Stream<Item = io::Result<DuplexStream>> + Send + use<>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let connector = tower::service_fn(move |_| {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let sent = sender.send(theirs);
        async move {
            sent.map_err(|_| io::Error::new(io::ErrorKind::ConnectionRefused, "the dispatcher has ended"))?;
            Ok::<_, io::Error>(TokioIo::new(ours))
        }
    });
    // The address is for the eye: nothing is resolved.
    let channel = Endpoint::from_static("http://dispatcher.local").connect_with_connector_lazy(connector);
    (channel, UnboundedReceiverStream::new(receiver).map(Ok))
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use hoist_proto::wire::{
        self, AssignmentsMessage, AssignmentsRequest, HeartbeatRequest, HeartbeatResponse, ProgressReport,
        ProgressSummary, SessionMessage, SessionRequest, UpdateTaskStatusRequest, UpdateTaskStatusResponse,
        dispatcher_client::DispatcherClient,
        dispatcher_server::{Dispatcher, DispatcherServer},
    };
    use tonic::{Request, Response, Status, Streaming};

    use super::*;

    type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

    struct Greeter;

    #[tonic::async_trait]
    impl Dispatcher for Greeter {
        type SessionStream = Messages<SessionMessage>;
        type AssignmentsStream = Messages<AssignmentsMessage>;

        async fn session(&self, request: Request<SessionRequest>) -> Result<Response<Self::SessionStream>, Status> {
            let first = SessionMessage { session_id: request.into_inner().node_id, ..SessionMessage::default() };
            Ok(Response::new(Box::pin(tokio_stream::once(Ok(first)).chain(tokio_stream::pending()))))
        }

        async fn heartbeat(&self, _: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
            Ok(Response::new(HeartbeatResponse { period_millis: 7 }))
        }

        async fn assignments(
            &self,
            _: Request<AssignmentsRequest>,
        ) -> Result<Response<Self::AssignmentsStream>, Status> {
            Err(Status::unimplemented("not here"))
        }

        async fn update_task_status(
            &self,
            _: Request<UpdateTaskStatusRequest>,
        ) -> Result<Response<UpdateTaskStatusResponse>, Status> {
            Err(Status::unimplemented("not here"))
        }

        async fn progress(&self, _: Request<Streaming<ProgressReport>>) -> Result<Response<ProgressSummary>, Status> {
            Err(Status::unimplemented("not here"))
        }

        async fn find_network(
            &self,
            _: Request<wire::FindNetworkRequest>,
        ) -> Result<Response<wire::FindNetworkResponse>, Status> {
            Err(Status::unimplemented("not here"))
        }

        async fn attach(&self, _: Request<wire::AttachRequest>) -> Result<Response<wire::AttachResponse>, Status> {
            Err(Status::unimplemented("not here"))
        }

        async fn detach(&self, _: Request<wire::DetachRequest>) -> Result<Response<wire::DetachResponse>, Status> {
            Err(Status::unimplemented("not here"))
        }

        async fn keep_attachments(
            &self,
            _: Request<wire::KeepAttachmentsRequest>,
        ) -> Result<Response<wire::KeepAttachmentsResponse>, Status> {
            Err(Status::unimplemented("not here"))
        }

        async fn find_image(
            &self,
            _: Request<wire::FindImageRequest>,
        ) -> Result<Response<wire::FindImageResponse>, Status> {
            Err(Status::unimplemented("not here"))
        }
    }

    #[tokio::test]
    async fn calls_go_through_the_pipe() {
        let (channel, connections) = pipe();
        let server = tonic::transport::Server::builder().add_service(DispatcherServer::new(Greeter));
        let server = tokio::spawn(server.serve_with_incoming(connections));
        let mut client = DispatcherClient::new(channel);
        let request = SessionRequest { node_id: "me".into(), ..SessionRequest::default() };
        let mut session = client.session(request).await.unwrap().into_inner();
        assert_eq!(session.next().await.unwrap().unwrap().session_id, "me");
        let answer = client.heartbeat(HeartbeatRequest::default()).await.unwrap();
        assert_eq!(answer.into_inner().period_millis, 7);
        server.abort();
    }
}
