//! A container's name server.

use std::fs::File;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{self, Action};
use super::directory::Directory;
use super::forward::{self, Transport};
use crate::model::DnsConfig;
use crate::sandbox::ResolverSockets;

/// Larger queries than this are not sent over UDP (RFC 6891 recommends 4096 at most).
const DATAGRAM: usize = 4096;
/// Queries of one container that wait for other name servers at the same time; more are dropped and
/// will be repeated by the client.
const WAITING: usize = 256;
/// Connections of one container at the same time.
const CONNECTIONS: usize = 32;
const IDLE: Duration = Duration::from_secs(10);
/// After a failure that trying again at once would only repeat.
const PAUSE: Duration = Duration::from_millis(50);

/// Who asks, and whom to ask in turn.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) container: String,
    pub(crate) dns: DnsConfig,
    /// Whether one of its networks leads out; else the host's name servers are not asked for it.
    pub(crate) outside: bool,
    pub(crate) namespace: Arc<File>,
}

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    shared: Arc<Shared>,
    /// Ends with this.
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    directory: Arc<Directory>,
    scope: RwLock<Arc<Scope>>,
}

impl Shared {
    fn scope(&self) -> Arc<Scope> {
        self.scope.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Server {
    /// Serves on sockets that are bound already. Must be called within a tokio runtime.
    pub(crate) fn start(sockets: ResolverSockets, scope: Scope, directory: Arc<Directory>) -> io::Result<Self> {
        let udp = UdpSocket::from_std(sockets.udp)?;
        let tcp = TcpListener::from_std(sockets.tcp)?;
        let shared = Arc::new(Shared { directory, scope: RwLock::new(Arc::new(scope)) });
        let mut tasks = JoinSet::new();
        tasks.spawn(datagrams(shared.clone(), Arc::new(udp)));
        tasks.spawn(connections(shared.clone(), tcp));
        Ok(Self { shared, _tasks: tasks })
    }

    pub(crate) fn set_scope(&self, scope: Scope) {
        *self.shared.scope.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(scope);
    }
}

async fn datagrams(shared: Arc<Shared>, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; DATAGRAM];
    let mut waiting = JoinSet::new();
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(_) = waiting.join_next() => continue,
        };
        let Ok((length, client)) = received else {
            // It belongs to an earlier answer whose asker is gone; one that stays must not keep us busy.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let query = &buffer[..length];
        let scope = shared.scope();
        match answer::act(&shared.directory, &scope.container, query) {
            Action::Ignore => {}
            Action::Answer(message) => {
                if let Some(bytes) = answer::encode(&message, Some(limit(query))) {
                    let _ = socket.send_to(&bytes, client).await;
                }
            }
            Action::Forward(fallback) if waiting.len() < WAITING => {
                let (socket, shared, query) = (socket.clone(), shared.clone(), query.to_vec());
                waiting.spawn(async move {
                    let options = &shared.directory.options;
                    let reply = forward::forward(&scope, options, &query, fallback, Transport::Datagram).await;
                    let _ = socket.send_to(&reply, client).await;
                });
            }
            Action::Forward(_) => tracing::debug!(container = scope.container, "too many queries wait for an answer"),
        }
    }
}

async fn connections(shared: Arc<Shared>, listener: TcpListener) {
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if open.len() < CONNECTIONS => accepted,
            Some(_) = open.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                open.spawn(connection(shared.clone(), stream));
            }
            // No descriptor is free: those who wait in the queue can wait a little longer.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Answers the queries of one connection, one after the other, each with its length before it
/// (RFC 1035, 4.2.2).
async fn connection(shared: Arc<Shared>, mut stream: TcpStream) {
    loop {
        let Ok(Ok(length)) = timeout(IDLE, stream.read_u16()).await else { return };
        let mut query = vec![0; usize::from(length)];
        let Ok(Ok(_)) = timeout(IDLE, stream.read_exact(&mut query)).await else { return };
        let scope = shared.scope();
        let reply = match answer::act(&shared.directory, &scope.container, &query) {
            Action::Ignore => return,
            Action::Answer(message) => answer::encode(&message, None),
            Action::Forward(fallback) => {
                let options = &shared.directory.options;
                Some(forward::forward(&scope, options, &query, fallback, Transport::Stream).await)
            }
        };
        let Some(reply) = reply else { return };
        let Ok(length) = u16::try_from(reply.len()) else { return };
        let framed = [&length.to_be_bytes(), reply.as_slice()].concat();
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

fn limit(query: &[u8]) -> u16 {
    Message::from_vec(query).map_or(512, |m| answer::datagram_limit(&m))
}
