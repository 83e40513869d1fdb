//! What the kernel cannot lead to a container is carried there: calls to `::1`, and calls by IPv6 to a container that
//! has only IPv4.
//!
//! The kernel has no way for either. It translates no packet into another family's, and an answer that is translated
//! back to `::1` is dropped: IPv6 has no `route_localnet`, and a route for `::1` on the bridge does not help where
//! bridges pass their packets to the firewall, as it is then translated back before the address is looked at.
//! Everything else goes by the firewall's maps, which are asked before any socket, so that a relay sees nothing else.
//!
//! The sockets are the ones that hold the ports, and belong to the daemon. While no daemon runs, these two ways are
//! closed; all others go on. The container sees its gateway as the caller.

mod datagrams;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::datagrams::Incoming;
use crate::model::Protocol;

/// Connections of one port at the same time; further ones wait.
const CONNECTIONS: usize = 2048;
/// After a failure that trying again at once would only repeat.
const PAUSE: Duration = Duration::from_millis(50);

/// Carries until it is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    target: watch::Sender<SocketAddr>,
    socket: Socket,
    /// Ends with this.
    _task: JoinSet<()>,
}

/// The socket that holds the port. The task has it too, and lets go of it some time after it was told to end: too late
/// for whoever takes the port next.
#[derive(Debug)]
enum Socket {
    Tcp(Arc<TcpListener>),
    Udp(Arc<Incoming>),
}

/// What is open in a socket's place when it is closed.
static NOTHING: OnceLock<OwnedFd> = OnceLock::new();

impl Socket {
    /// Closes it, whoever else has it.
    fn close(&self) {
        let descriptor = match self {
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Udp(incoming) => incoming.as_raw_fd(),
        };
        if let Some(nothing) = NOTHING.get() {
            // SAFETY: both are open; that of the socket stays ours until the last who has it drops it, and closes what
            // is in its place then. Whoever uses it until then learns that it is no socket.
            unsafe { libc::dup3(nothing.as_raw_fd(), descriptor, libc::O_CLOEXEC) };
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.socket.close();
    }
}

impl Relay {
    /// Whether there are relays for a protocol.
    pub(super) fn carries(protocol: Protocol) -> bool {
        protocol != Protocol::Sctp
    }

    /// Carries what comes to a socket that is bound and, if it is TCP's, listens. Must be called within a tokio
    /// runtime.
    pub(super) fn start(socket: OwnedFd, protocol: Protocol, target: SocketAddr) -> io::Result<Self> {
        if NOTHING.get().is_none() {
            let _ = NOTHING.set(std::fs::File::open("/dev/null")?.into());
        }
        let (sender, target) = watch::channel(target);
        let mut task = JoinSet::new();
        let socket = match protocol {
            Protocol::Tcp => Socket::Tcp(Arc::new(TcpListener::from_std(socket.into())?)),
            _ => Socket::Udp(Arc::new(Incoming::new(socket)?)),
        };
        match &socket {
            Socket::Tcp(listener) => task.spawn(connections(listener.clone(), target)),
            Socket::Udp(incoming) => task.spawn(datagrams::carry(incoming.clone(), target)),
        };
        Ok(Self { target: sender, socket, _task: task })
    }

    /// Leads what comes from now on to another address.
    pub(super) fn redirect(&self, target: SocketAddr) {
        self.target.send_if_modified(|old| std::mem::replace(old, target) != target);
    }
}

async fn connections(listener: Arc<TcpListener>, target: watch::Receiver<SocketAddr>) {
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if open.len() < CONNECTIONS => accepted,
            Some(_) = open.join_next() => continue,
        };
        match accepted {
            Ok((caller, _)) => {
                let target = *target.borrow();
                open.spawn(connection(caller, target));
            }
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Both directions, each to its own end.
async fn connection(mut caller: TcpStream, target: SocketAddr) {
    let mut container = match TcpStream::connect(target).await {
        Ok(container) => container,
        Err(error) => {
            tracing::debug!(%error, %target, "a connection could not be carried on");
            return;
        }
    };
    let _ = (caller.set_nodelay(true), container.set_nodelay(true));
    let _ = tokio::io::copy_bidirectional(&mut caller, &mut container).await;
}
