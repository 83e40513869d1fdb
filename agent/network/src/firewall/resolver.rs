//! The rules inside a sandbox that lead port 53 of the name server's address to our sockets.

use std::io;
use std::net::IpAddr;

use super::expression::{Base, Meta, R0};
use super::objects;
use super::wire::{self, IPV4, Transaction};
use crate::files::RESOLVER;
use crate::netlink::Socket;

const TABLE: &str = "hoist-resolver";
const CHAIN: &str = "output";
const DOMAIN: u16 = 53;
/// The loopback interface is the first of every namespace.
const LOOPBACK: u32 = 1;

/// The rules of one namespace.
#[derive(Debug)]
pub(crate) struct ResolverPort(Socket);

impl ResolverPort {
    /// For the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        wire::open().map(Self)
    }

    /// Makes port 53 of the resolver's address mean `port`. In a namespace that is not `fresh` it may
    /// have meant another before; to remove that costs several milliseconds, as the kernel waits for
    /// all processors when the socket is closed.
    ///
    /// Packets to the server and its answers both leave by the loopback interface, so one hook sees
    /// them all. Ports are rewritten packet by packet: no connection is tracked.
    pub(crate) fn lead(&mut self, port: u16, fresh: bool) -> io::Result<()> {
        const OUTPUT_HOOK: u32 = 3;
        const SOURCE: u32 = 0;
        const DESTINATION: u32 = 2;
        let mut t = Transaction::new(IPV4);
        objects::put_table(&mut t, TABLE);
        if !fresh {
            objects::drop_table(&mut t, TABLE);
            objects::put_table(&mut t, TABLE);
        }
        objects::put_chain(&mut t, TABLE, CHAIN, Some(("filter", OUTPUT_HOOK, 0)));
        let (IpAddr::V4(address), port) = (RESOLVER, port.to_be_bytes()) else {
            unreachable!("the resolver's address is of IPv4")
        };
        let domain = DOMAIN.to_be_bytes();
        // TCP has its checksum at 16, UDP at 6.
        for (protocol, checksum) in [(libc::IPPROTO_UDP, 6), (libc::IPPROTO_TCP, 16)] {
            for (address_at, port_at, from, to) in [(16, DESTINATION, domain, port), (12, SOURCE, port, domain)] {
                objects::put_rule(&mut t, TABLE, CHAIN, |r| {
                    r.load(Meta::OutInterface, R0).is(R0, &LOOPBACK.to_ne_bytes());
                    r.payload(Base::Network, address_at, 4, R0).is(R0, &address.octets());
                    r.load(Meta::Protocol, R0).is(R0, &[protocol as u8]);
                    r.payload(Base::Transport, port_at, 2, R0).is(R0, &from);
                    r.set(R0, &to).rewrite(R0, port_at, 2, checksum);
                });
            }
        }
        // When nobody serves, the kernel's complaint quotes the rewritten datagram. With the port that the
        // client knows it finds its socket, and the client hears at once instead of waiting.
        objects::put_rule(&mut t, TABLE, CHAIN, |r| {
            const UNREACHABLE: u8 = 3;
            /// Where the quoted packet begins.
            const QUOTE: u32 = 8;
            r.load(Meta::OutInterface, R0).is(R0, &LOOPBACK.to_ne_bytes());
            r.load(Meta::Protocol, R0).is(R0, &[libc::IPPROTO_ICMP as u8]);
            r.payload(Base::Transport, 0, 1, R0).is(R0, &[UNREACHABLE]);
            r.payload(Base::Transport, QUOTE + 9, 1, R0).is(R0, &[libc::IPPROTO_UDP as u8]);
            r.payload(Base::Transport, QUOTE + 16, 4, R0).is(R0, &address.octets());
            r.payload(Base::Transport, QUOTE + 20 + DESTINATION, 2, R0).is(R0, &port);
            r.set(R0, &domain).rewrite(R0, QUOTE + 20 + DESTINATION, 2, 2);
        });
        t.commit(&mut self.0).map_err(io::Error::from)
    }
}
