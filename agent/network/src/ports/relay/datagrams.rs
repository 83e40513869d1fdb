//! Datagrams, and who is to get the answers.

use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::PAUSE;

/// The largest datagram.
const LARGEST: usize = 65535;
/// Callers of one port at the same time; datagrams of further ones are dropped.
const CALLERS: usize = 1024;
/// A caller who says and hears nothing for so long is forgotten, as by connection tracking.
const IDLE: Duration = Duration::from_secs(120);

/// Who called, and at which of the host's addresses: the answer has to come from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Caller {
    from: SocketAddrV6,
    at: Ipv6Addr,
    interface: u32,
}

/// The socket that holds the port.
#[derive(Debug)]
pub(super) struct Incoming {
    socket: UdpSocket,
    /// For one datagram at a time, in whichever direction.
    buffer: Mutex<Vec<u8>>,
}

impl Incoming {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, buffer: Mutex::new(vec![0; LARGEST]) })
    }

    /// Takes a datagram and hands it over with its caller.
    async fn receive<T>(&self, mut hand_over: impl FnMut(Caller, &[u8]) -> T) -> io::Result<T> {
        self.socket
            .async_io(Interest::READABLE, || {
                let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
                let mut control = nix::cmsg_space!(libc::in6_pktinfo);
                let (length, caller) = {
                    let mut parts = [IoSliceMut::new(&mut buffer)];
                    let received = recvmsg::<SockaddrIn6>(
                        self.socket.as_raw_fd(),
                        &mut parts,
                        Some(&mut control),
                        MsgFlags::MSG_DONTWAIT,
                    )?;
                    let info = received.cmsgs()?.find_map(|message| match message {
                        ControlMessageOwned::Ipv6PacketInfo(info) => Some(info),
                        _ => None,
                    });
                    let (Some(from), Some(info)) = (received.address, info) else {
                        return Err(io::Error::from(io::ErrorKind::InvalidData));
                    };
                    let from = SocketAddrV6::new(from.ip(), from.port(), from.flowinfo(), from.scope_id());
                    let at = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    (received.bytes, Caller { from, at, interface: info.ipi6_ifindex })
                };
                Ok(hand_over(caller, &buffer[..length]))
            })
            .await
    }

    /// Sends an answer that there is. One that cannot be sent at once is lost, as datagrams are.
    fn answer(&self, caller: &Caller, from: &UdpSocket) -> io::Result<()> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let length = from.try_recv(&mut buffer)?;
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: caller.at.octets() },
            // A link-local address has a meaning on its interface only.
            ipi6_ifindex: if caller.at.is_unicast_link_local() { caller.interface } else { 0 },
        };
        let parts = [IoSlice::new(&buffer[..length])];
        let control = [ControlMessage::Ipv6PacketInfo(&info)];
        let to = SockaddrIn6::from(caller.from);
        let sent = sendmsg(self.socket.as_raw_fd(), &parts, &control, MsgFlags::MSG_DONTWAIT, Some(&to));
        sent.map(drop).map_err(io::Error::from)
    }
}

impl AsRawFd for Incoming {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// One caller's own socket towards the container, and whether the caller used it lately.
struct Conversation {
    socket: Arc<UdpSocket>,
    used: Arc<AtomicBool>,
}

pub(super) async fn carry(incoming: Arc<Incoming>, mut target: watch::Receiver<SocketAddr>) {
    let mut conversations: HashMap<Caller, Conversation> = HashMap::new();
    let mut answers: JoinSet<Caller> = JoinSet::new();
    loop {
        let send = |caller: Caller, datagram: &[u8]| match conversations.get(&caller) {
            Some(there) => {
                there.used.store(true, Ordering::Relaxed);
                // A full socket or a closed port loses it, as datagrams are lost.
                let _ = there.socket.try_send(datagram);
                None
            }
            None => Some((caller, datagram.to_vec())),
        };
        let new = tokio::select! {
            received = incoming.receive(send) => received,
            Some(ended) = answers.join_next() => {
                if let Ok(caller) = ended {
                    conversations.remove(&caller);
                }
                continue;
            }
            changed = target.changed() => {
                if changed.is_err() {
                    return;
                }
                // Whoever asks again is led to the new place.
                answers = JoinSet::new();
                conversations.clear();
                continue;
            }
        };
        match new {
            Ok(Some((caller, datagram))) if conversations.len() < CALLERS => {
                let to = *target.borrow_and_update();
                match begin(to).await {
                    Ok(socket) => {
                        let _ = socket.send(&datagram).await;
                        let (socket, used) = (Arc::new(socket), Arc::new(AtomicBool::new(false)));
                        answers.spawn(answer(incoming.clone(), caller, socket.clone(), used.clone()));
                        conversations.insert(caller, Conversation { socket, used });
                    }
                    Err(error) => tracing::debug!(%error, %to, "a datagram could not be carried on"),
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a datagram could not be received");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn begin(to: SocketAddr) -> io::Result<UdpSocket> {
    let any =
        if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)) };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    Ok(socket)
}

/// Carries answers back until nobody speaks any more.
async fn answer(incoming: Arc<Incoming>, caller: Caller, socket: Arc<UdpSocket>, used: Arc<AtomicBool>) -> Caller {
    loop {
        match tokio::time::timeout(IDLE, socket.readable()).await {
            Err(_) if used.swap(false, Ordering::Relaxed) => {}
            Err(_) | Ok(Err(_)) => return caller,
            // An error tells that nobody in the container has the port open, and is taken away by being told.
            Ok(Ok(())) => drop(incoming.answer(&caller, &socket)),
        }
    }
}
