//! The elements of the table's maps.

use std::net::{IpAddr, Ipv6Addr};

use super::expression::{Verdict, interface, value};
use super::names::{PORTS4, PORTS4_AT, PORTS6, PORTS6_AT, SOURCES4, SOURCES6};
use crate::model::PublishedPort;
use crate::netlink::Attributes;
use crate::subnet::Subnet;

/// A published port and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forward {
    pub(crate) host: IpAddr,
    pub(crate) host_port: u16,
    pub(crate) protocol: u8,
    pub(crate) target: IpAddr,
    pub(crate) target_port: u16,
}

impl Forward {
    pub(crate) fn new(port: &PublishedPort, target: IpAddr) -> Self {
        Self {
            host: port.host_ip,
            host_port: port.host_port,
            protocol: port.protocol.number(),
            target,
            target_port: port.container_port,
        }
    }

    /// The map that it belongs in.
    pub(super) fn map(&self) -> &'static str {
        match (self.target, self.host.is_unspecified()) {
            (IpAddr::V4(_), true) => PORTS4,
            (IpAddr::V4(_), false) => PORTS4_AT,
            (IpAddr::V6(_), true) => PORTS6,
            (IpAddr::V6(_), false) => PORTS6_AT,
        }
    }

    pub(super) fn element(&self) -> Element {
        let mut key = Vec::with_capacity(24);
        if !self.host.is_unspecified() {
            push_address(&mut key, self.host);
        }
        // Each part of a concatenation fills whole registers of four bytes.
        key.extend_from_slice(&[self.protocol, 0, 0, 0]);
        key.extend_from_slice(&self.host_port.to_be_bytes());
        key.extend_from_slice(&[0; 2]);
        let mut data = Vec::with_capacity(20);
        push_address(&mut data, self.target);
        data.extend_from_slice(&self.target_port.to_be_bytes());
        data.extend_from_slice(&[0; 2]);
        Element { key, data: Some(Data::Value(data)), interval_end: false }
    }
}

/// What an element of a map leads to.
pub(super) enum Data {
    Value(Vec<u8>),
    Goto(String),
}

/// An element of a set or map.
pub(super) struct Element {
    pub(super) key: Vec<u8>,
    pub(super) data: Option<Data>,
    /// Marks the first value behind an interval.
    pub(super) interval_end: bool,
}

impl Element {
    /// An address in a set.
    pub(super) fn address(address: IpAddr) -> Self {
        Self { key: octets(address), data: None, interval_end: false }
    }

    /// Any key that leads to a chain.
    pub(super) fn to_chain(key: Vec<u8>, chain: String) -> Self {
        Self { key, data: Some(Data::Goto(chain)), interval_end: false }
    }

    /// Any key that leads to a value.
    pub(super) fn to_value(key: Vec<u8>, data: Vec<u8>) -> Self {
        Self { key, data: Some(Data::Value(data)), interval_end: false }
    }

    /// A bridge in a set.
    pub(super) fn bridge(name: &str) -> Self {
        Self { key: interface(name).into(), data: None, interval_end: false }
    }

    /// A bridge that leads to a chain.
    pub(super) fn bridge_to(name: &str, chain: String) -> Self {
        Self { key: interface(name).into(), data: Some(Data::Goto(chain)), interval_end: false }
    }

    /// A subnet that leads to a chain: its map, and two elements for its ends.
    pub(super) fn subnet_to(subnet: Subnet, chain: String) -> (&'static str, Vec<Self>) {
        let mut elements =
            vec![Self { key: octets(subnet.base()), data: Some(Data::Goto(chain)), interval_end: false }];
        if let Some(behind) = successor(subnet.last()) {
            elements.push(Self { key: octets(behind), data: None, interval_end: true });
        }
        (if subnet.is_ipv6() { SOURCES6 } else { SOURCES4 }, elements)
    }

    pub(super) fn write(&self, attributes: &mut Attributes<'_>) {
        const KEY: u16 = 1;
        const DATA: u16 = 2;
        const FLAGS: u16 = 3;
        attributes.nest(KEY, |k| value(k, &self.key));
        match &self.data {
            Some(Data::Value(bytes)) => {
                attributes.nest(DATA, |d| value(d, bytes));
            }
            Some(Data::Goto(chain)) => {
                attributes.nest(DATA, |d| Verdict::Goto(chain).write(d));
            }
            None => {}
        }
        if self.interval_end {
            attributes.be32(FLAGS, 1);
        }
    }
}

fn push_address(bytes: &mut Vec<u8>, address: IpAddr) {
    bytes.extend(octets(address));
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().into(),
        IpAddr::V6(a) => a.octets().into(),
    }
}

fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(a) => a.to_bits().checked_add(1).map(|n| IpAddr::V4(n.into())),
        IpAddr::V6(a) => a.to_bits().checked_add(1).map(|n| IpAddr::V6(Ipv6Addr::from_bits(n))),
    }
}
