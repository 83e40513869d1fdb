//! A host port that is ours.
//!
//! No process of ours stands in the path: the firewall's map sends packets to the container before
//! any socket is looked up. A socket is bound to the port all the same: as long as it lives, no other
//! process of the host can bind the port and then wonder why nobody calls, and binding it is the one
//! reliable way to find out that somebody has it already. On an IPv6 address it is also the beginning
//! of a [`Relay`], for what the kernel cannot lead to a container; on an IPv4 address it does nothing.
//!
//! Between the death of a daemon and the start of the next no socket is bound. The map is in the
//! kernel and goes on serving. A process that takes the port in that time gets no packets, as those
//! go to the container; the next daemon says so in its log and leaves the container alone.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, sockopt,
};

use super::relay::Relay;
use crate::model::Protocol;

/// Holds a port as long as it lives.
#[derive(Debug)]
pub(crate) struct Reservation(Hold);

#[derive(Debug)]
enum Hold {
    Socket(#[allow(dead_code, reason = "it is open, and that is all")] OwnedFd),
    Relay(Relay),
    Nothing,
}

/// Why a port cannot be had.
#[derive(Debug)]
pub(crate) enum Refused {
    Taken,
    NotOurAddress,
    Other(io::Error),
}

impl Reservation {
    /// Takes a port; what comes to its socket is carried to `target`, if there is one. Must be called within a tokio
    /// runtime.
    pub(crate) fn new(
        address: IpAddr,
        port: u16,
        protocol: Protocol,
        target: Option<SocketAddr>,
    ) -> Result<Self, Refused> {
        let target = target.filter(|_| Relay::carries(protocol));
        match (bound(address, port, protocol, target.is_some()), target) {
            (Ok(socket), None) => Ok(Self(Hold::Socket(socket))),
            (Ok(socket), Some(target)) => {
                let relay = Relay::start(socket, protocol, target).map_err(Refused::Other)?;
                Ok(Self(Hold::Relay(relay)))
            }
            // Without SCTP in the kernel no process of the host can hold one of its ports.
            (Err(Errno::EPROTONOSUPPORT | Errno::ESOCKTNOSUPPORT), _) if protocol == Protocol::Sctp => {
                Ok(Self(Hold::Nothing))
            }
            (Err(Errno::EADDRINUSE), _) => Err(Refused::Taken),
            (Err(Errno::EADDRNOTAVAIL), _) => Err(Refused::NotOurAddress),
            (Err(errno), _) => Err(Refused::Other(errno.into())),
        }
    }

    /// A port that is not reserved, as its holder is too strong: only for ports that were ours before.
    pub(crate) fn absent() -> Self {
        Self(Hold::Nothing)
    }

    /// Carries what comes from now on to another address.
    pub(crate) fn redirect(&self, target: SocketAddr) {
        if let Hold::Relay(relay) = &self.0 {
            relay.redirect(target);
        }
    }
}

fn bound(address: IpAddr, port: u16, protocol: Protocol, listens: bool) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SockType::Stream, libc::IPPROTO_TCP),
        Protocol::Udp => (SockType::Datagram, libc::IPPROTO_UDP),
        Protocol::Sctp => (SockType::Stream, libc::IPPROTO_SCTP),
    };
    let socket = raw_socket(family, kind, number)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    let address = SockaddrStorage::from(SocketAddr::new(address, port));
    // Without the option first: to Linux 6.1 a port that was bound with it is open to all who bind with it, another
    // daemon of ours for instance.
    match bind(socket.as_raw_fd(), &address) {
        Err(Errno::EADDRINUSE) if protocol == Protocol::Tcp => {
            // Connections of an earlier holder that are still fading away (TIME_WAIT) are no obstacle.
            setsockopt(&socket, sockopt::ReuseAddr, &true)?;
            bind(socket.as_raw_fd(), &address)?;
        }
        done => done?,
    }
    if protocol == Protocol::Tcp {
        if listens {
            // Nobody can share a port where somebody listens.
            listen(&socket, Backlog::MAXCONN)?;
        }
        // Connections inherit it, so that those of ours are no obstacle to the next daemon.
        setsockopt(&socket, sockopt::ReuseAddr, &listens)?;
    }
    Ok(socket)
}

/// nix's `socket` has no name for SCTP.
fn raw_socket(family: AddressFamily, kind: SockType, protocol: i32) -> Result<OwnedFd, Errno> {
    use std::os::fd::FromRawFd as _;
    let flags = SockFlag::SOCK_CLOEXEC.bits() | SockFlag::SOCK_NONBLOCK.bits();
    // SAFETY: the call takes numbers only.
    let fd = Errno::result(unsafe { libc::socket(family as i32, kind as i32 | flags, protocol) })?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
