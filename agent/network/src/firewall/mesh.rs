//! The routing mesh: ports of every machine that lead to the tasks of a service, wherever those are.
//!
//! ```text
//! published  dstnat        protocol, port → verdict map → the port's chain
//! mesh-P-N                 a number by chance → map of tasks → a task's address and port (mesh6-P-N for IPv6)
//! mesh       mangle -150   what another machine sent on is marked with that machine, by its link address;
//!                          answers carry the mark, and a routing rule sends them back the way they came
//! ```
//!
//! So a task sees its caller's own address, and the answer passes the machine that was called.

use std::net::{IpAddr, Ipv6Addr};

use super::elements::Element;
use super::expression::{Base, Meta, R0, VERDICT};
use super::names::{
    MESH, MESH_BRIDGES, MESH_MACHINES, MESH_PORTS, MESH_PORTS6, MESH_SOURCES, MESH_SOURCES6, POSTROUTING, PUBLISHED,
};
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
    /// The addresses of tasks, of both families; a call goes to one of its own.
    pub(crate) backends: Vec<IpAddr>,
    /// Of the tasks.
    pub(crate) target: u16,
}

/// How calls of one family are led.
struct Family {
    v6: bool,
    prefix: &'static str,
    ports: &'static str,
    /// nft's number for the type of its addresses, and how many bytes they have.
    address: (u32, u32),
    number: i32,
}

const FAMILIES: [Family; 2] = [
    Family { v6: false, prefix: "mesh", ports: MESH_PORTS, address: (kind::IPV4, 4), number: libc::NFPROTO_IPV4 },
    Family { v6: true, prefix: "mesh6", ports: MESH_PORTS6, address: (kind::IPV6, 16), number: libc::NFPROTO_IPV6 },
];

impl MeshForward {
    fn key(&self) -> Vec<u8> {
        let mut key = vec![self.protocol.number(), 0, 0, 0];
        key.extend_from_slice(&self.port.to_be_bytes());
        key.extend_from_slice(&[0; 2]);
        key
    }

    fn chain(&self, family: &Family) -> String {
        format!("{}-{}-{}", family.prefix, self.protocol, self.port)
    }

    fn leading(&self, family: &Family) -> Element {
        Element::to_chain(self.key(), self.chain(family))
    }

    /// What leads to a task, by its number.
    fn tasks(&self, family: &Family) -> Vec<Element> {
        let value = |address: &IpAddr| {
            let mut value = match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            value.extend_from_slice(&self.target.to_be_bytes());
            value.extend_from_slice(&[0; 2]);
            value
        };
        let own = self.backends.iter().filter(|backend| backend.is_ipv6() == family.v6);
        (0_u32..)
            .zip(own)
            .map(|(number, backend)| Element::to_value(number.to_ne_bytes().into(), value(backend)))
            .collect()
    }
}

/// The sets of the fixed part.
pub(super) fn sets() -> [Set<'static>; 6] {
    let port = kind::join(&[kind::PROTOCOL, kind::PORT]);
    let set =
        |name, key, data: Option<(u32, u32)>| Set { name, flags: if data.is_some() { MAP } else { 0 }, key, data };
    [
        set(MESH_BRIDGES, (kind::INTERFACE, 16), None),
        set(MESH_MACHINES, (kind::LINK_ADDRESS, 6), Some((kind::MARK, 4))),
        set(MESH_SOURCES, (kind::IPV4, 4), None),
        set(MESH_SOURCES6, (kind::IPV6, 16), None),
        set(MESH_PORTS, (port, 8), Some((kind::VERDICT, 0))),
        set(MESH_PORTS6, (port, 8), Some((kind::VERDICT, 0))),
    ]
}

/// Another machine of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Its own address on the mesh's network.
    pub(crate) address: IpAddr,
    /// The same of IPv6, where the network has it.
    pub(crate) address6: Option<Ipv6Addr>,
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
        self.rule(t, POSTROUTING, |r| {
            r.load(Meta::OutName, R0).within(R0, MESH_BRIDGES).ipv6();
            r.payload(Base::Network, 8, 16, R0).within(R0, MESH_SOURCES6).masquerade();
        });
        for family in &FAMILIES {
            self.rule(t, PUBLISHED, |r| {
                if family.v6 {
                    r.ipv6()
                } else {
                    r.ipv4()
                };
                r.load(Meta::Protocol, R0).payload(Base::Transport, 2, 2, R0 + 1);
                r.map(R0, family.ports, VERDICT);
            });
        }
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
            let sources = |v6: bool| -> Vec<Element> {
                some.iter().filter(|m| m.node.is_ipv6() == v6).map(|m| Element::address(m.node)).collect()
            };
            let sets = [(MESH_MACHINES, all), (MESH_SOURCES, sources(false)), (MESH_SOURCES6, sources(true))];
            for (set, elements) in &sets {
                self.elements(&mut t, set, elements, true);
                if !add {
                    self.elements(&mut t, set, elements, false);
                }
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
        // What tells sets of one transaction apart.
        for (number, family) in (1..).zip(&FAMILIES) {
            self.put_mesh_family(t, forward, family, number);
        }
    }

    fn put_mesh_family(&self, t: &mut Transaction, forward: &MeshForward, family: &Family, number: u32) {
        let (table, chain) = (&self.table, forward.chain(family));
        let (name, tasks) = (format!("{chain}-tasks"), forward.tasks(family));
        let (address, length) = family.address;
        let data = Some((kind::join(&[address, kind::PORT]), length + 4));
        let members = Set { name: &name, flags: MAP, key: (kind::INTEGER, 4), data };
        self.chain(t, &chain, None);
        objects::empty_chain(t, table, &chain);
        // What is to go must be there, hence it is made first.
        objects::put_set(t, table, &members, number, false);
        objects::delete_set(t, table, &name);
        self.elements(t, family.ports, &[forward.leading(family)], true);
        if tasks.is_empty() {
            self.elements(t, family.ports, &[forward.leading(family)], false);
            objects::delete_chain(t, table, &chain);
            return;
        }
        objects::put_set(t, table, &members, number, false);
        self.elements(t, &name, &tasks, true);
        let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        self.rule(t, &chain, |r| {
            r.chance(count, R0).map(R0, &name, R0).redirect(family.number as u8, R0, R0 + length / 4);
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
