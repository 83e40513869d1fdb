//! The one port of a node.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use crate::{Identity, Link, LinkError, tls::HANDSHAKE};

/// Handshakes under way at once; who comes then waits.
const HANDSHAKES: usize = 256;

/// A port that is bound, and not served yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
}

/// Who calls. Services find it among a request's extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: Option<SocketAddr>,
    /// What the certificate says; `None` for one who showed none.
    pub identity: Option<Identity>,
}

/// A connection with somebody at its other end.
#[derive(Debug)]
pub struct Connection {
    stream: Box<TlsStream<TcpStream>>,
    peer: Peer,
}

impl Listener {
    /// Takes the port.
    ///
    /// # Errors
    /// [`LinkError::Listen`]
    pub async fn bind(address: &str) -> Result<Self, LinkError> {
        let fail = |source| LinkError::Listen { address: address.to_owned(), source };
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        Ok(Self { listener })
    }

    /// Connections whose handshake is done, for a tonic server, until the token is cancelled.
    ///
    /// Each is made with the credentials that the node has at that moment.
    pub fn incoming(
        self,
        link: Link,
        stop: CancellationToken,
    ) -> impl Stream<Item = io::Result<Connection>> + Send + use<> {
        let (sender, receiver) = mpsc::channel(16);
        let accepting = self.accept(link, sender, stop);
        async_stream(accepting, receiver)
    }

    async fn accept(self, link: Link, sender: mpsc::Sender<io::Result<Connection>>, stop: CancellationToken) {
        let mut handshakes = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = handshakes.join_next(), if !handshakes.is_empty() => continue,
                accepted = self.listener.accept(), if handshakes.len() < HANDSHAKES => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    handshakes.spawn(handshake(stream, address, link.clone(), sender.clone()));
                }
                Err(err) => {
                    // Out of descriptors: those that are open must end first.
                    tracing::warn!("accepting a node's connection: {err}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// The receiver's items while `work` is driven beside it.
fn async_stream(
    work: impl Future<Output = ()> + Send + 'static,
    receiver: mpsc::Receiver<io::Result<Connection>>,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    Driven { work: Some(Box::pin(work)), items: ReceiverStream::new(receiver) }
}

struct Driven {
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    items: ReceiverStream<io::Result<Connection>>,
}

impl Stream for Driven {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(work) = &mut self.work
            && work.as_mut().poll(cx).is_ready()
        {
            self.work = None;
        }
        Pin::new(&mut self.items).poll_next(cx)
    }
}

async fn handshake(stream: TcpStream, address: SocketAddr, link: Link, sender: mpsc::Sender<io::Result<Connection>>) {
    // Small answers must not wait for each other; where it cannot be had, they do.
    let _ = stream.set_nodelay(true);
    let acceptor = TlsAcceptor::from(link.credentials().server.clone());
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(err)) => {
            tracing::warn!(%address, "a node was turned away: {err}");
            return;
        }
        Err(_) => return,
    };
    let identity = match stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()) {
        None => None,
        Some(certificate) => match Identity::of(certificate) {
            Ok(identity) if identity.subject.cluster == link.credentials().identity().subject.cluster => Some(identity),
            Ok(_) => {
                tracing::warn!(%address, "a node was turned away: its certificate is of another cluster");
                return;
            }
            Err(err) => {
                tracing::warn!(%address, "a node was turned away: {err}");
                return;
            }
        },
    };
    let peer = Peer { address: Some(address), identity };
    // The server may have ended meanwhile.
    let _ = sender.send(Ok(Connection { stream: Box::new(stream), peer })).await;
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
