//! The table in a container's namespace that leads virtual addresses to those who stand behind them.
//!
//! ```text
//! output   dstnat   destination → verdict map → the address's chain
//! to-ADDR           a number by chance → map of members → the member's address
//! refuse   filter   what is still for a virtual address has nobody behind it: refused at once
//! ```
//!
//! Only the first packet of a connection is led; connection tracking leads the rest, so that a connection
//! stays with its member for as long as it lasts. Every change can be made twice: what an earlier daemon
//! left is not asked for, it is written over.

use std::io;
use std::net::IpAddr;

use super::elements::Element;
use super::expression::{Base, Meta, R0, VERDICT};
use super::objects::{self, MAP, Set};
use super::table::kind;
use super::wire::{self, INET, Transaction};
use crate::netlink::{Refusal, Socket};

const TABLE: &str = "hoist-services";
const OUTPUT: &str = "output";
const REFUSE: &str = "refuse";
/// Verdicts by virtual address.
const LEAD4: &str = "lead4";
const LEAD6: &str = "lead6";
/// Virtual addresses that nobody stands behind.
const ALONE4: &str = "alone4";
const ALONE6: &str = "alone6";
/// Addresses of one transaction: the kernel takes messages of limited size.
const AT_ONCE: usize = 16;

/// A virtual address and the addresses of those who stand behind it, all of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Virtual {
    pub(crate) address: IpAddr,
    pub(crate) backends: Vec<IpAddr>,
}

/// The table of one namespace.
#[derive(Debug)]
pub(crate) struct Balancer {
    socket: Socket,
    /// The fixed part is there.
    made: bool,
}

impl Balancer {
    /// For the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: wire::open()?, made: false })
    }

    /// Leads addresses to their members of now.
    pub(crate) fn set(&mut self, virtuals: &[Virtual]) -> Result<(), Refusal> {
        for some in virtuals.chunks(AT_ONCE) {
            let mut t = self.begin();
            for one in some {
                put(&mut t, one);
            }
            t.commit(&mut self.socket)?;
            self.made = true;
        }
        Ok(())
    }

    /// Addresses are nobody's any more.
    pub(crate) fn remove(&mut self, addresses: &[IpAddr]) -> Result<(), Refusal> {
        for some in addresses.chunks(AT_ONCE) {
            let mut t = self.begin();
            for address in some {
                let nobody = Virtual { address: *address, backends: Vec::new() };
                put(&mut t, &nobody);
                let v6 = address.is_ipv6();
                objects::change_elements(&mut t, TABLE, alone(v6), &[plain(*address)], false);
                objects::change_elements(&mut t, TABLE, lead(v6), &[leading(*address)], false);
                objects::delete_chain(&mut t, TABLE, &chain(*address));
            }
            t.commit(&mut self.socket)?;
            self.made = true;
        }
        Ok(())
    }

    fn begin(&self) -> Transaction {
        let mut t = Transaction::new(INET);
        if !self.made {
            put_fixed(&mut t);
        }
        t
    }
}

fn lead(v6: bool) -> &'static str {
    if v6 { LEAD6 } else { LEAD4 }
}

fn alone(v6: bool) -> &'static str {
    if v6 { ALONE6 } else { ALONE4 }
}

fn chain(address: IpAddr) -> String {
    format!("to-{}", spelt(address))
}

fn members(address: IpAddr) -> String {
    format!("of-{}", spelt(address))
}

/// Names of the kernel's objects take no colons in nft's language.
fn spelt(address: IpAddr) -> String {
    address.to_string().replace(':', "-")
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().into(),
        IpAddr::V6(v6) => v6.octets().into(),
    }
}

fn plain(address: IpAddr) -> Element {
    Element { key: octets(address), data: None, interval_end: false }
}

fn leading(address: IpAddr) -> Element {
    Element::to_chain(octets(address), chain(address))
}

fn put_fixed(t: &mut Transaction) {
    const OUTPUT_HOOK: u32 = 3;
    objects::put_table(t, TABLE);
    const VERDICTS: (u32, u32) = (kind::VERDICT, 0);
    let sets = [
        (LEAD4, (kind::IPV4, 4), Some(VERDICTS)),
        (LEAD6, (kind::IPV6, 16), Some(VERDICTS)),
        (ALONE4, (kind::IPV4, 4), None),
        (ALONE6, (kind::IPV6, 16), None),
    ];
    for (name, key, data) in sets {
        let flags = if data.is_some() { MAP } else { 0 };
        objects::put_set(t, TABLE, &Set { name, flags, key, data }, 1, false);
    }
    for (name, hook) in [(OUTPUT, ("nat", OUTPUT_HOOK, -100)), (REFUSE, ("filter", OUTPUT_HOOK, 0))] {
        objects::put_chain(t, TABLE, name, Some(hook));
        objects::empty_chain(t, TABLE, name);
    }
    objects::put_rule(t, TABLE, OUTPUT, |r| {
        r.ipv4().payload(Base::Network, 16, 4, R0).map(R0, LEAD4, VERDICT);
    });
    objects::put_rule(t, TABLE, OUTPUT, |r| {
        r.ipv6().payload(Base::Network, 24, 16, R0).map(R0, LEAD6, VERDICT);
    });
    for (v6, offset, length) in [(false, 16, 4), (true, 24, 16)] {
        for tcp in [true, false] {
            objects::put_rule(t, TABLE, REFUSE, |r| {
                if v6 { r.ipv6() } else { r.ipv4() }.payload(Base::Network, offset, length, R0).within(R0, alone(v6));
                if tcp {
                    r.load(Meta::Protocol, R0).is(R0, &[libc::IPPROTO_TCP as u8]);
                }
                r.refuse(tcp);
            });
        }
    }
}

/// Everything of one address, whatever was there before.
fn put(t: &mut Transaction, one: &Virtual) {
    let (address, v6) = (one.address, one.address.is_ipv6());
    let (chain, map) = (chain(address), members(address));
    objects::put_chain(t, TABLE, &chain, None);
    objects::empty_chain(t, TABLE, &chain);
    // What is to go must be there, hence it is made first.
    let data = Some(if v6 { (kind::IPV6, 16) } else { (kind::IPV4, 4) });
    let members = Set { name: &map, flags: MAP, key: (kind::INTEGER, 4), data };
    objects::put_set(t, TABLE, &members, 1, false);
    objects::delete_set(t, TABLE, &map);
    if !one.backends.is_empty() {
        objects::put_set(t, TABLE, &members, 1, false);
        let all: Vec<Element> = (0_u32..)
            .zip(&one.backends)
            .map(|(number, backend)| Element::to_value(number.to_ne_bytes().into(), octets(*backend)))
            .collect();
        objects::change_elements(t, TABLE, &map, &all, true);
        let count = u32::try_from(one.backends.len()).unwrap_or(u32::MAX);
        let family = if v6 { libc::NFPROTO_IPV6 } else { libc::NFPROTO_IPV4 } as u8;
        objects::put_rule(t, TABLE, &chain, |r| {
            r.chance(count, R0).map(R0, &map, R0).lead_to(family, R0);
        });
    }
    objects::change_elements(t, TABLE, lead(v6), &[leading(address)], true);
    objects::change_elements(t, TABLE, alone(v6), &[plain(address)], true);
    if !one.backends.is_empty() {
        objects::change_elements(t, TABLE, alone(v6), &[plain(address)], false);
    }
}
