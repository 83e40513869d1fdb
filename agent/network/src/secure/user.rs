//! WireGuard in this process, for kernels that have none: a TUN device on the one side, a UDP socket on the other,
//! and a thread for each direction.
//!
//! The tunnel is there as long as the process is. Where the other machines are is what the cluster says, and is not
//! learnt from packets.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, Tunn, TunnResult};
use boringtun::x25519;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::key::{NodeKey, PrivateKey};

/// The largest datagram, and the largest packet.
const LARGEST: usize = 65535;
/// What a sealed packet is larger by, generously.
const ROOM: usize = 256;
/// A message that begins a session has 148 bytes.
const LARGEST_HANDSHAKE: usize = 256;
/// How often the protocol's timers are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Packets that are taken before anything else is looked at.
const AT_ONCE: usize = 64;
/// Beginnings of sessions in a second, twice counted, from which on callers have to show that they are where they say.
const HANDSHAKES: u64 = 1000;

/// Carries packets until it is dropped.
#[derive(Debug)]
pub(super) struct User {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    device: File,
    socket: UdpSocket,
    stop: OwnedFd,
    key: PrivateKey,
    public: x25519::PublicKey,
    limiter: Arc<RateLimiter>,
    peers: RwLock<Peers>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("socket", &self.socket).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Peers {
    by_key: HashMap<NodeKey, Arc<Peer>>,
    by_address: HashMap<Ipv6Addr, Arc<Peer>>,
    by_index: HashMap<u32, Arc<Peer>>,
    last: u32,
}

struct Peer {
    key: NodeKey,
    /// By which answers name it: 24 bits.
    index: u32,
    /// The only address that it may send from.
    inner: Ipv6Addr,
    state: Mutex<State>,
}

struct State {
    tunnel: Tunn,
    endpoint: SocketAddr,
}

impl Peer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was waited for.
#[derive(PartialEq, Eq)]
enum Awaited {
    Packet,
    Time,
    End,
}

/// Makes a TUN device in the network namespace of the calling thread.
pub(super) fn device(name: &str) -> io::Result<File> {
    const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")
        .map_err(|error| io::Error::new(error.kind(), format!("cannot open /dev/net/tun: {error}")))?;
    // SAFETY: all zeros is a value of this type.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the request lives over the call and is of the type that the call wants.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF as _, &raw const request) };
    if made < 0 {
        let error = io::Error::last_os_error();
        return Err(io::Error::new(error.kind(), format!("cannot make a TUN device: {error}")));
    }
    Ok(file)
}

impl User {
    /// `device` is a TUN device; the socket is bound in the network namespace of the calling thread.
    pub(super) fn start(device: File, key: &PrivateKey, local: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(local)?;
        socket.set_nonblocking(true)?;
        let public = x25519::PublicKey::from(key.secret());
        let shared = Arc::new(Shared {
            device,
            socket,
            stop: eventfd(0, EventfdFlags::CLOEXEC)?,
            key: key.clone(),
            public,
            limiter: Arc::new(RateLimiter::new(&public, HANDSHAKES)),
            peers: RwLock::new(Peers { last: crate::ident::random_u32(), ..Peers::default() }),
        });
        let mut user = Self { shared, threads: Vec::new() };
        for (name, run) in [("sealing", outgoing as fn(&Shared)), ("opening", incoming)] {
            let shared = user.shared.clone();
            user.threads.push(std::thread::Builder::new().name(name.into()).spawn(move || run(&shared))?);
        }
        Ok(user)
    }

    /// Peers that came, or have another endpoint.
    pub(super) fn set_peers(&self, peers: &[(NodeKey, SocketAddr)]) {
        let mut buffer = [0; LARGEST_HANDSHAKE];
        for (key, endpoint) in peers {
            let mut all = self.shared.peers.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(peer) = all.by_key.get(key) {
                peer.lock().endpoint = *endpoint;
                continue;
            }
            let index = all.next();
            let tunnel = self.shared.tunnel(key, index);
            let state = Mutex::new(State { tunnel, endpoint: *endpoint });
            let peer = Arc::new(Peer { key: *key, index, inner: key.inner(), state });
            all.by_key.insert(*key, peer.clone());
            all.by_address.insert(peer.inner, peer.clone());
            all.by_index.insert(index, peer.clone());
            drop(all);
            // Whoever is told last opens the session. Else packets that were sent before the other knew us would
            // wait for the next try, five seconds later.
            if let TunnResult::WriteToNetwork(packet) =
                peer.lock().tunnel.format_handshake_initiation(&mut buffer, false)
            {
                self.shared.send(packet, *endpoint);
            }
        }
    }

    pub(super) fn remove_peers(&self, peers: &[NodeKey]) {
        let mut all = self.shared.peers.write().unwrap_or_else(PoisonError::into_inner);
        for key in peers {
            if let Some(peer) = all.by_key.remove(key) {
                all.by_address.remove(&peer.inner);
                all.by_index.remove(&peer.index);
            }
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.shared.stop, &1_u64.to_ne_bytes());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Peers {
    /// An index of 24 bits that no peer has.
    fn next(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1) & 0x00ff_ffff;
            if !self.by_index.contains_key(&self.last) {
                return self.last;
            }
        }
    }
}

impl Shared {
    fn tunnel(&self, key: &NodeKey, index: u32) -> Tunn {
        let (own, other) = (self.key.secret().clone(), x25519::PublicKey::from(*key.bytes()));
        Tunn::new(own, other, None, None, index, Some(self.limiter.clone()))
    }

    fn find(&self, which: impl FnOnce(&Peers) -> Option<&Arc<Peer>>) -> Option<Arc<Peer>> {
        which(&self.peers.read().unwrap_or_else(PoisonError::into_inner)).cloned()
    }

    /// What cannot be sent is lost, as on any line.
    fn send(&self, packet: &[u8], to: SocketAddr) {
        if let Err(error) = self.socket.send_to(packet, to) {
            tracing::debug!(%error, %to, "an encrypted packet was not sent");
        }
    }

    fn wait(&self, on: BorrowedFd<'_>, until: Option<Instant>) -> Awaited {
        loop {
            let mut both = [PollFd::from_borrowed_fd(on, PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut both, left.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Awaited::End,
                Ok(_) if !both[1].revents().is_empty() => return Awaited::End,
                Ok(0) => return Awaited::Time,
                Ok(_) => return Awaited::Packet,
            }
        }
    }

    /// A packet for another machine.
    fn seal(&self, packet: &[u8], out: &mut [u8]) {
        let Some(IpAddr::V6(to)) = Tunn::dst_address(packet) else { return };
        let Some(peer) = self.find(|peers| peers.by_address.get(&to)) else { return };
        let mut state = peer.lock();
        let endpoint = state.endpoint;
        if let TunnResult::WriteToNetwork(sealed) = state.tunnel.encapsulate(packet, out) {
            self.send(sealed, endpoint);
        }
    }

    /// A datagram that came.
    fn open(&self, datagram: &[u8], from: SocketAddr, out: &mut [u8]) {
        let Ok(parsed) = Tunn::parse_incoming_packet(datagram) else { return };
        let by_index = |index: u32| self.find(|peers| peers.by_index.get(&(index >> 8)));
        let peer = match parsed {
            Packet::HandshakeInit(_) => match self.limiter.verify_packet(Some(from.ip()), datagram, out) {
                Ok(Packet::HandshakeInit(init)) => parse_handshake_anon(self.key.secret(), &self.public, &init)
                    .ok()
                    .map(|half| NodeKey::from_bytes(half.peer_static_public))
                    .and_then(|key| self.find(|peers| peers.by_key.get(&key))),
                Err(TunnResult::WriteToNetwork(cookie)) => return self.send(cookie, from),
                _ => None,
            },
            Packet::HandshakeResponse(packet) => by_index(packet.receiver_idx),
            Packet::PacketCookieReply(packet) => by_index(packet.receiver_idx),
            Packet::PacketData(packet) => by_index(packet.receiver_idx),
        };
        let Some(peer) = peer else { return };
        let mut state = peer.lock();
        match state.tunnel.decapsulate(Some(from.ip()), datagram, out) {
            TunnResult::WriteToNetwork(answer) => self.send(answer, from),
            TunnResult::WriteToTunnelV6(packet, source) if source == peer.inner => {
                // The device takes what it can; the rest is lost, as on any line.
                let _ = (&self.device).write(packet);
            }
            TunnResult::Err(_) => return,
            _ => {}
        }
        // What waited for the session.
        let endpoint = state.endpoint;
        while let TunnResult::WriteToNetwork(sealed) = state.tunnel.decapsulate(None, &[], out) {
            self.send(sealed, endpoint);
        }
    }

    fn tick(&self, out: &mut [u8]) {
        self.limiter.reset_count();
        let all: Vec<Arc<Peer>> =
            self.peers.read().unwrap_or_else(PoisonError::into_inner).by_key.values().cloned().collect();
        for peer in all {
            let mut state = peer.lock();
            let endpoint = state.endpoint;
            if let TunnResult::WriteToNetwork(packet) = state.tunnel.update_timers(out) {
                self.send(packet, endpoint);
            }
            if state.tunnel.is_expired() {
                // It has no session any more, and its timers stand still: one that has is put in its place.
                state.tunnel = self.tunnel(&peer.key, peer.index);
            }
        }
    }
}

fn outgoing(shared: &Shared) {
    let (mut packet, mut out) = (vec![0; LARGEST], vec![0; LARGEST + ROOM]);
    while shared.wait(shared.device.as_fd(), None) == Awaited::Packet {
        for _ in 0..AT_ONCE {
            match (&shared.device).read(&mut packet) {
                Ok(length) => shared.seal(&packet[..length], &mut out),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::error!(%error, "the device of the encrypted tunnel is gone; nothing is sent by it");
                    return;
                }
            }
        }
    }
}

fn incoming(shared: &Shared) {
    let (mut datagram, mut out) = (vec![0; LARGEST], vec![0; LARGEST + ROOM]);
    let mut tick = Instant::now() + TICK;
    while shared.wait(shared.socket.as_fd(), Some(tick)) != Awaited::End {
        for _ in 0..AT_ONCE {
            match shared.socket.recv_from(&mut datagram) {
                Ok((length, from)) => shared.open(&datagram[..length], from, &mut out),
                // An error that an earlier packet left is told once; what came is still there.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        if Instant::now() >= tick {
            shared.tick(&mut out);
            tick = Instant::now() + TICK;
        }
    }
}
