//! Connections of UDP that the kernel remembers.
//!
//! The kernel decides once per connection where its packets go, and a stream of datagrams between
//! the same two ports is one connection for as long as it goes on. A client that kept sending while a
//! container was being replaced would be sent to where the port led before, for ever. So what is
//! remembered of a UDP port is forgotten when the port is published or withdrawn.

use std::io;

use crate::netlink::{Attributes, Batch, Family, Refusal, Socket, attributes};

const SUBSYSTEM: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8;
const GET: u16 = 1;
const DELETE: u16 = 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const DESTINATION_PORT: u16 = 3;

/// The connection tracking of one network namespace.
#[derive(Debug)]
pub(crate) struct Connections(Socket);

impl Connections {
    /// For the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        Socket::open(Family::Netfilter).map(Self)
    }

    /// Forgets all connections of UDP that were made to one of these ports.
    pub(crate) fn forget_udp(&mut self, ports: &[u16]) -> Result<(), Refusal> {
        let mut found: Vec<(u8, Vec<u8>)> = Vec::new();
        let body = |family: u8| [family, libc::NFNETLINK_V0 as u8, 0, 0];
        self.0.dump(
            SUBSYSTEM | GET,
            libc::NLM_F_DUMP,
            |out| out.extend_from_slice(&body(libc::AF_UNSPEC as u8)),
            |_, answer| {
                let Some((family, rest)) = answer.first().zip(answer.get(4..)) else { return };
                let original = attributes(rest).find(|(kind, _)| *kind == TUPLE_ORIGINAL);
                if let Some((_, tuple)) = original
                    && udp_destination(tuple).is_some_and(|port| ports.contains(&port))
                {
                    found.push((*family, tuple.to_vec()));
                }
            },
        )?;
        for (family, tuple) in found {
            let mut batch = Batch::default();
            batch.push(SUBSYSTEM | DELETE, 0, |out| {
                out.extend_from_slice(&body(family));
                Attributes(out).nest(TUPLE_ORIGINAL, |a| a.0.extend_from_slice(&tuple));
            });
            match self.0.send(batch) {
                // It ended by itself meanwhile.
                Err((_, refusal)) if refusal.errno == nix::errno::Errno::ENOENT => {}
                Err((_, refusal)) => return Err(refusal),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

/// The destination port of a tuple, if it is of UDP.
fn udp_destination(tuple: &[u8]) -> Option<u16> {
    let (_, protocol) = attributes(tuple).find(|(kind, _)| *kind == TUPLE_PROTOCOL)?;
    let value = |wanted: u16| attributes(protocol).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    if value(PROTOCOL_NUMBER)?.first() != Some(&(libc::IPPROTO_UDP as u8)) {
        return None;
    }
    value(DESTINATION_PORT)?.first_chunk().map(|port| u16::from_be_bytes(*port))
}
