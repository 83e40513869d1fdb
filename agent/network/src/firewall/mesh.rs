//! The routing mesh: ports of every machine that lead to the tasks of a service, wherever those are.
//!
//! ```text
//! published  dstnat        protocol, port → verdict map → the port's chain
//! mesh-P-N                 a number by chance → map of tasks → a task's address and port
//! mesh       mangle -150   what another machine sent on is marked with that machine, by its link address;
//!                          answers carry the mark, and a routing rule sends them back the way they came
//! ```
//!
//! So a task sees its caller's own address, and the answer passes the machine that was called.

use std::net::{IpAddr, Ipv4Addr};

use super::elements::Element;
use super::expression::{Base, Meta, R0, VERDICT};
use super::names::{MESH, MESH_BRIDGES, MESH_MACHINES, MESH_PORTS, MESH_SOURCES, POSTROUTING, PUBLISHED};
use super::objects::{self, MAP, Set};
use super::table::{Firewall, kind};
use super::wire::{INET, Transaction};
use crate::model::{MacAddress, Protocol};
use crate::netlink::Refusal;

/// The upper half of the marks; the lower one tells machines apart.
pub(crate) const MARK: u32 = 0x6873_0000;
const MARK_MASK: u32 = 0xffff_0000;
/// `new` in `ct state`.
const NEW: u32 = 1 << 3;
/// Machines of one transaction.
const MACHINES_AT_ONCE: usize = 400;

/// A port of every machine, and where connections to it go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MeshForward {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) backends: Vec<(Ipv4Addr, u16)>,
}

impl MeshForward {
    fn key(&self) -> Vec<u8> {
        let mut key = vec![self.protocol.number(), 0, 0, 0];
        key.extend_from_slice(&self.port.to_be_bytes());
        key.extend_from_slice(&[0; 2]);
        key
    }

    fn chain(&self) -> String {
        format!("mesh-{}-{}", self.protocol, self.port)
    }

    fn members(&self) -> String {
        format!("mesh-{}-{}-tasks", self.protocol, self.port)
    }

    fn leading(&self) -> Element {
        Element::to_chain(self.key(), self.chain())
    }
}

/// The sets of the fixed part.
pub(super) fn sets() -> [Set<'static>; 4] {
    let port = kind::join(&[kind::PROTOCOL, kind::PORT]);
    let set =
        |name, key, data: Option<(u32, u32)>| Set { name, flags: if data.is_some() { MAP } else { 0 }, key, data };
    [
        set(MESH_BRIDGES, (kind::INTERFACE, 16), None),
        set(MESH_MACHINES, (kind::LINK_ADDRESS, 6), Some((kind::MARK, 4))),
        set(MESH_SOURCES, (kind::IPV4, 4), None),
        set(MESH_PORTS, (port, 8), Some((kind::VERDICT, 0))),
    ]
}

/// Another machine of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Its own address on the mesh's network.
    pub(crate) address: IpAddr,
    /// Where its tunnels end.
    pub(crate) node: IpAddr,
}

fn machine(mac: MacAddress, mark: u32) -> Element {
    // A key fills whole registers of four bytes where several make one; alone it is as long as it is.
    Element::to_value(mac.0.into(), mark.to_ne_bytes().into())
}

impl Firewall {
    /// The rules of the fixed part.
    pub(super) fn put_mesh(&self, t: &mut Transaction) {
        const PREROUTING_HOOK: u32 = 0;
        self.chain(t, MESH, Some(("filter", PREROUTING_HOOK, -150)));
        self.rule(t, MESH, |r| {
            // Only the first packet: what comes back from there is an answer to what this machine sent on.
            r.load(Meta::InName, R0).within(R0, MESH_BRIDGES).connection_state(NEW);
            r.payload(Base::Link, 6, 6, R0).map(R0, MESH_MACHINES, R0).mark_connection(R0);
        });
        self.rule(t, MESH, |r| {
            r.load(Meta::InName, R0).within(R0, MESH_BRIDGES);
            r.connection_mark(MARK, MARK_MASK).take_connection_mark();
        });
        // A machine takes no packet from others that has its own address: to it, its call comes from us.
        self.rule(t, POSTROUTING, |r| {
            r.load(Meta::OutName, R0).within(R0, MESH_BRIDGES).ipv4();
            r.payload(Base::Network, 12, 4, R0).within(R0, MESH_SOURCES).masquerade();
        });
        self.rule(t, PUBLISHED, |r| {
            r.ipv4().load(Meta::Protocol, R0).payload(Base::Transport, 2, 2, R0 + 1);
            r.map(R0, MESH_PORTS, VERDICT);
        });
    }

    /// Whether what comes from a bridge may be the mesh's.
    pub(crate) fn set_mesh_bridge(&mut self, bridge: &str, add: bool) -> Result<(), Refusal> {
        let mut t = Transaction::new(INET);
        let element = || Element::bridge(bridge);
        // Made first, so that taking away what is not there is no failure.
        self.elements(&mut t, MESH_BRIDGES, &[element()], true);
        if !add {
            self.elements(&mut t, MESH_BRIDGES, &[element()], false);
        }
        t.commit(&mut self.socket)
    }

    /// Other machines, by the link addresses from which they send on, with their marks.
    pub(crate) fn set_mesh_machines(&mut self, machines: &[Machine], add: bool) -> Result<(), Refusal> {
        for some in machines.chunks(MACHINES_AT_ONCE) {
            let mut t = Transaction::new(INET);
            let marked = some.iter().filter_map(|m| Some((MacAddress::standing_for(m.address), mark(m.address)?)));
            let all: Vec<Element> = marked.map(|(mac, mark)| machine(mac, mark)).collect();
            let sources: Vec<Element> =
                some.iter().filter(|m| m.node.is_ipv4()).map(|m| Element::address(m.node)).collect();
            self.elements(&mut t, MESH_MACHINES, &all, true);
            self.elements(&mut t, MESH_SOURCES, &sources, true);
            if !add {
                self.elements(&mut t, MESH_MACHINES, &all, false);
                self.elements(&mut t, MESH_SOURCES, &sources, false);
            }
            t.commit(&mut self.socket)?;
        }
        Ok(())
    }

    /// Leads ports where they lead now, whatever was there before; a port without tasks is closed.
    pub(crate) fn set_mesh_ports(&mut self, forwards: &[MeshForward]) -> Result<(), Refusal> {
        for forward in forwards {
            let mut t = Transaction::new(INET);
            self.put_mesh_port(&mut t, forward);
            t.commit(&mut self.socket)?;
        }
        Ok(())
    }

    pub(super) fn put_mesh_port(&self, t: &mut Transaction, forward: &MeshForward) {
        let (table, chain, name) = (&self.table, forward.chain(), forward.members());
        let data = Some((kind::join(&[kind::IPV4, kind::PORT]), 8));
        let members = Set { name: &name, flags: MAP, key: (kind::INTEGER, 4), data };
        self.chain(t, &chain, None);
        objects::empty_chain(t, table, &chain);
        // What is to go must be there, hence it is made first.
        objects::put_set(t, table, &members, 1, false);
        objects::delete_set(t, table, &name);
        self.elements(t, MESH_PORTS, &[forward.leading()], true);
        if forward.backends.is_empty() {
            self.elements(t, MESH_PORTS, &[forward.leading()], false);
            objects::delete_chain(t, table, &chain);
            return;
        }
        objects::put_set(t, table, &members, 1, false);
        let value = |(address, port): &(Ipv4Addr, u16)| {
            let mut value = address.octets().to_vec();
            value.extend_from_slice(&port.to_be_bytes());
            value.extend_from_slice(&[0; 2]);
            value
        };
        let all: Vec<Element> = (0_u32..)
            .zip(&forward.backends)
            .map(|(number, backend)| Element::to_value(number.to_ne_bytes().into(), value(backend)))
            .collect();
        self.elements(t, &name, &all, true);
        let count = u32::try_from(forward.backends.len()).unwrap_or(u32::MAX);
        self.rule(t, &chain, |r| {
            r.chance(count, R0).map(R0, &name, R0).redirect(libc::NFPROTO_IPV4 as u8, R0, R0 + 1);
        });
    }
}

/// The mark of a machine, by its own address on the mesh's network.
pub(crate) fn mark(address: IpAddr) -> Option<u32> {
    match address {
        IpAddr::V4(v4) => Some(MARK | (v4.to_bits() & !MARK_MASK)),
        IpAddr::V6(_) => None,
    }
}
