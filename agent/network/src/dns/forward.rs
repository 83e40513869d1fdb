//! Asking other name servers.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::answer;
use super::server::Scope;
use crate::files::ResolvConf;
use crate::netns;
use crate::options::DnsOptions;

const DOMAIN: u16 = 53;
/// resolv.conf(5) uses three servers at most.
const SERVERS: usize = 3;
/// Clients commonly wait five seconds before they ask again; all attempts together fit in that.
const PATIENCE: Duration = Duration::from_millis(1600);
const REPLY: usize = 64 * 1024;

/// How the client asked, and so how we ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Datagram,
    Stream,
}

/// The first useful reply of the servers in their order. An answer that was cut is passed on as it
/// is: the client then asks again over a stream. When no server answers, `fallback` says so.
pub(super) async fn forward(
    scope: &Scope,
    options: &DnsOptions,
    query: &[u8],
    mut fallback: Message,
    transport: Transport,
) -> Vec<u8> {
    // A person's servers are reached as the container reaches them: they may be containers too, or
    // in the container itself. The host's are reached from the host, where loopback is the host's.
    let (servers, namespace) = if !scope.dns.servers.is_empty() {
        (scope.dns.servers.clone(), Some(&scope.namespace))
    } else if scope.outside {
        (host_servers(options), None)
    } else {
        // Nothing outside exists as seen from an internal network.
        fallback.metadata.response_code = ResponseCode::NXDomain;
        return answer::encode(&fallback, None).unwrap_or_default();
    };
    let mut best = None;
    for server in servers.into_iter().take(SERVERS) {
        let asked = async {
            match transport {
                Transport::Datagram => ask_datagram(server, namespace, query).await,
                Transport::Stream => ask_stream(server, namespace, query).await,
            }
        };
        match timeout(PATIENCE, asked).await {
            Ok(Ok(reply)) if is_useful(&reply) => return reply,
            Ok(Ok(reply)) => best = best.or(Some(reply)),
            Ok(Err(error)) => tracing::debug!(%error, %server, "a name server cannot be asked"),
            Err(_) => tracing::debug!(%server, "a name server does not answer"),
        }
    }
    best.unwrap_or_else(|| {
        fallback.metadata.response_code = ResponseCode::ServFail;
        answer::encode(&fallback, None).unwrap_or_default()
    })
}

fn host_servers(options: &DnsOptions) -> Vec<IpAddr> {
    if !options.servers.is_empty() {
        return options.servers.clone();
    }
    // Read each time: the file changes when the machine changes networks.
    let text = std::fs::read_to_string(&options.resolv_conf).unwrap_or_default();
    let servers = ResolvConf::parse(&text).servers;
    // resolv.conf(5): without a server, the one on the local machine.
    if servers.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { servers }
}

/// Whether another server need not be asked: not for refusals and failures.
fn is_useful(reply: &[u8]) -> bool {
    const SERVER_FAILURE: u8 = 2;
    const NOT_IMPLEMENTED: u8 = 4;
    const REFUSED: u8 = 5;
    reply.get(3).is_some_and(|flags| !matches!(flags & 0x0f, SERVER_FAILURE | NOT_IMPLEMENTED | REFUSED))
}

/// Whether it answers this query: same identifier, marked as a response, same question.
fn answers(query: &[u8], reply: &[u8]) -> bool {
    const HEADER: usize = 12;
    let question = |message: &[u8]| Message::from_vec(message).ok().map(|m| m.queries);
    reply.len() >= HEADER
        && reply[..2] == query[..2]
        && reply[2] & 0x80 != 0
        && question(reply).is_none_or(|queries| Some(queries) == question(query))
}

async fn ask_datagram(server: IpAddr, namespace: Option<&Arc<File>>, query: &[u8]) -> io::Result<Vec<u8>> {
    // A socket for each query has a port that cannot be guessed; connected, it hears this server only.
    let socket = within(namespace, move || {
        let any: IpAddr = if server.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let socket = std::net::UdpSocket::bind((any, 0))?;
        socket.connect((server, DOMAIN))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })
    .await?;
    let socket = UdpSocket::from_std(socket)?;
    socket.send(query).await?;
    let mut reply = vec![0; REPLY];
    loop {
        let length = socket.recv(&mut reply).await?;
        if answers(query, &reply[..length]) {
            reply.truncate(length);
            return Ok(reply);
        }
    }
}

async fn ask_stream(server: IpAddr, namespace: Option<&Arc<File>>, query: &[u8]) -> io::Result<Vec<u8>> {
    let stream = within(namespace, move || {
        let stream = std::net::TcpStream::connect_timeout(&SocketAddr::new(server, DOMAIN), PATIENCE)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    })
    .await?;
    let mut stream = TcpStream::from_std(stream)?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    let length = stream.read_u16().await?;
    let mut reply = vec![0; usize::from(length)];
    stream.read_exact(&mut reply).await?;
    if answers(query, &reply) { Ok(reply) } else { Err(io::Error::other("the reply belongs to another query")) }
}

/// Makes a socket in the container's namespace, or in the host's.
async fn within<T: Send + 'static>(
    namespace: Option<&Arc<File>>,
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let namespace = namespace.cloned();
    let made = tokio::task::spawn_blocking(move || match namespace {
        Some(namespace) => netns::within(namespace.as_fd(), f),
        None => f(),
    });
    made.await.map_err(io::Error::other)?
}
