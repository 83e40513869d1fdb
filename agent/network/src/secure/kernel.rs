//! The kernel's own WireGuard, as linux/wireguard.h speaks to it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::key::{NodeKey, PrivateKey};
use crate::netlink::{Attributes, Generic, attributes};

const FAMILY: &str = "wireguard";
const GET_DEVICE: u8 = 0;
const SET_DEVICE: u8 = 1;

mod device {
    pub(super) const NAME: u16 = 2;
    pub(super) const PRIVATE_KEY: u16 = 3;
    pub(super) const LISTEN_PORT: u16 = 6;
    pub(super) const PEERS: u16 = 8;
}

mod peer {
    pub(super) const PUBLIC_KEY: u16 = 1;
    pub(super) const FLAGS: u16 = 3;
    pub(super) const ENDPOINT: u16 = 4;
    pub(super) const KEEPALIVE: u16 = 5;
    pub(super) const ALLOWED_IPS: u16 = 9;

    pub(super) const REMOVE: u32 = 1;
    pub(super) const REPLACE_ALLOWED_IPS: u32 = 2;
    pub(super) const UPDATE_ONLY: u32 = 4;
}

mod allowed {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const ADDRESS: u16 = 2;
    pub(super) const PREFIX: u16 = 3;
}

/// Peers of which one request tells: attributes of one request stay far below 64 KiB.
const BATCH: usize = 128;

/// An interface of the kernel's.
#[derive(Debug)]
pub(super) struct Kernel {
    generic: Generic,
    name: String,
}

/// What an interface is set up with.
pub(super) struct Device {
    pub(super) key: PrivateKey,
    pub(super) port: u16,
    pub(super) peers: Vec<NodeKey>,
}

impl Kernel {
    /// The interface of this name in the namespace of the calling thread.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        Ok(Self { generic: Generic::open(FAMILY)?, name: name.to_owned() })
    }

    pub(super) fn set_up(&mut self, key: &PrivateKey, port: u16) -> io::Result<()> {
        let name = self.name.clone();
        self.generic.change(SET_DEVICE, |a| {
            a.text(device::NAME, &name).bytes(device::PRIVATE_KEY, key.secret().as_bytes());
            a.bytes(device::LISTEN_PORT, &port.to_ne_bytes());
        })?;
        Ok(())
    }

    /// What it is set up with; none when it has no key.
    pub(super) fn read(&mut self) -> io::Result<Option<Device>> {
        let (mut key, mut port, mut peers) = (None, 0, Vec::new());
        let name = self.name.clone();
        self.generic.dump(
            GET_DEVICE,
            |a| _ = a.text(device::NAME, &name),
            |answer| {
                for (kind, value) in attributes(answer) {
                    match kind {
                        device::PRIVATE_KEY => key = value.first_chunk().copied(),
                        device::LISTEN_PORT => port = value.first_chunk().map_or(0, |p| u16::from_ne_bytes(*p)),
                        device::PEERS => {
                            let all = attributes(value).filter_map(|(_, one)| {
                                let (_, key) = attributes(one).find(|(kind, _)| *kind == peer::PUBLIC_KEY)?;
                                key.first_chunk().copied().map(NodeKey::from_bytes)
                            });
                            peers.extend(all);
                        }
                        _ => {}
                    }
                }
            },
        )?;
        Ok(key.map(|key| Device { key: PrivateKey::from_bytes(key), port, peers }))
    }

    /// Peers that came, or have another endpoint.
    pub(super) fn set_peers(&mut self, peers: &[(NodeKey, SocketAddr)]) -> io::Result<()> {
        self.change_peers(peers, |a, (key, endpoint)| {
            let one = |a: &mut Attributes<'_>, keepalive: u16| {
                a.bytes(peer::PUBLIC_KEY, key.bytes());
                a.bytes(peer::FLAGS, &peer::REPLACE_ALLOWED_IPS.to_ne_bytes());
                a.bytes(peer::ENDPOINT, &socket_address(*endpoint));
                a.bytes(peer::KEEPALIVE, &keepalive.to_ne_bytes());
                a.nest(peer::ALLOWED_IPS, |a| {
                    a.nest(0, |a| {
                        a.bytes(allowed::FAMILY, &(libc::AF_INET6 as u16).to_ne_bytes());
                        a.bytes(allowed::ADDRESS, &key.inner().octets()).bytes(allowed::PREFIX, &[128]);
                    });
                });
            };
            // Whoever is told last opens the session: a word to the other, and no more of them. Else packets that
            // were sent before the other knew us would wait for the next try, five seconds later.
            a.nest(0, |a| one(a, 1)).nest(0, |a| one(a, 0));
        })
    }

    pub(super) fn remove_peers(&mut self, peers: &[NodeKey]) -> io::Result<()> {
        self.change_peers(peers, |a, key| {
            a.nest(0, |a| {
                let flags = peer::REMOVE | peer::UPDATE_ONLY;
                a.bytes(peer::PUBLIC_KEY, key.bytes()).bytes(peer::FLAGS, &flags.to_ne_bytes());
            });
        })
    }

    fn change_peers<T>(&mut self, peers: &[T], one: impl Fn(&mut Attributes<'_>, &T)) -> io::Result<()> {
        for some in peers.chunks(BATCH) {
            let name = self.name.clone();
            self.generic.change(SET_DEVICE, |a| {
                a.text(device::NAME, &name).nest(device::PEERS, |a| some.iter().for_each(|peer| one(a, peer)));
            })?;
        }
        Ok(())
    }
}

/// `struct sockaddr_in` or `struct sockaddr_in6`.
fn socket_address(address: SocketAddr) -> Vec<u8> {
    let (family, port) = (if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET }, address.port());
    let mut bytes = (family as u16).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&port.to_be_bytes());
    match address.ip() {
        IpAddr::V4(address) => bytes.extend_from_slice(&[&address.octets()[..], &[0; 8]].concat()),
        IpAddr::V6(address) => bytes.extend_from_slice(&[&[0; 4][..], &address.octets(), &[0; 4]].concat()),
    }
    bytes
}
