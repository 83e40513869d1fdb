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
use super::expression::{Base, Meta, R0, Rule, VERDICT};
use super::wire::{self, APPEND, CREATE, INET, Transaction};
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
/// Addresses of one transaction, and members of one request: the kernel takes messages of limited size.
const AT_ONCE: usize = 16;
const ELEMENTS_AT_ONCE: usize = 400;

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
                elements(&mut t, alone(v6), &[plain(*address)], false);
                elements(&mut t, lead(v6), &[leading(*address)], false);
                delete_chain(&mut t, &chain(*address));
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
    t.change(libc::NFT_MSG_NEWTABLE, CREATE, |a| {
        a.text(1, TABLE).be32(2, 0);
    });
    const VERDICTS: (u32, u32) = (0xffff_ff00, 0);
    set(t, LEAD4, (7, 4), Some(VERDICTS));
    set(t, LEAD6, (8, 16), Some(VERDICTS));
    set(t, ALONE4, (7, 4), None);
    set(t, ALONE6, (8, 16), None);
    for (name, kind, priority) in [(OUTPUT, "nat", -100_i32), (REFUSE, "filter", 0)] {
        t.change(libc::NFT_MSG_NEWCHAIN, CREATE, |a| {
            a.text(1, TABLE).text(3, name);
            a.nest(4, |hook| {
                hook.be32(1, OUTPUT_HOOK).bytes(2, &priority.to_be_bytes());
            });
            a.text(7, kind);
        });
        empty_chain(t, name);
    }
    rule(t, OUTPUT, |r| {
        r.ipv4().payload(Base::Network, 16, 4, R0).map(R0, LEAD4, VERDICT);
    });
    rule(t, OUTPUT, |r| {
        r.ipv6().payload(Base::Network, 24, 16, R0).map(R0, LEAD6, VERDICT);
    });
    for (v6, offset, length) in [(false, 16, 4), (true, 24, 16)] {
        for tcp in [true, false] {
            rule(t, REFUSE, |r| {
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
    t.change(libc::NFT_MSG_NEWCHAIN, CREATE, |a| {
        a.text(1, TABLE).text(3, &chain);
    });
    empty_chain(t, &chain);
    // What is to go must be there, hence it is made first.
    let kind = if v6 { (8, 16) } else { (7, 4) };
    const INTEGER: (u32, u32) = (4, 4);
    set(t, &map, INTEGER, Some(kind));
    t.change(libc::NFT_MSG_DELSET, 0, |a| {
        a.text(1, TABLE).text(2, &map);
    });
    if !one.backends.is_empty() {
        set(t, &map, INTEGER, Some(kind));
        let all: Vec<Element> = (0_u32..)
            .zip(&one.backends)
            .map(|(number, backend)| Element::to_value(number.to_ne_bytes().into(), octets(*backend)))
            .collect();
        elements(t, &map, &all, true);
        let count = u32::try_from(one.backends.len()).unwrap_or(u32::MAX);
        let family = if v6 { libc::NFPROTO_IPV6 } else { libc::NFPROTO_IPV4 } as u8;
        rule(t, &chain, |r| {
            r.chance(count, R0).map(R0, &map, R0).lead_to(family, R0);
        });
    }
    elements(t, lead(v6), &[leading(address)], true);
    elements(t, alone(v6), &[plain(address)], true);
    if !one.backends.is_empty() {
        elements(t, alone(v6), &[plain(address)], false);
    }
}

fn set(t: &mut Transaction, name: &str, key: (u32, u32), data: Option<(u32, u32)>) {
    const MAP: u32 = 0x8;
    t.change(libc::NFT_MSG_NEWSET, CREATE, |a| {
        let flags = if data.is_some() { MAP } else { 0 };
        a.text(1, TABLE).text(2, name).be32(3, flags).be32(4, key.0).be32(5, key.1);
        if let Some((kind, length)) = data {
            a.be32(6, kind);
            if length > 0 {
                a.be32(7, length);
            }
        }
        // A number of this transaction; none of ours is referred to by it.
        a.be32(10, 1);
    });
}

fn elements(t: &mut Transaction, set: &str, elements: &[Element], add: bool) {
    let (kind, flags) = if add { (libc::NFT_MSG_NEWSETELEM, CREATE) } else { (libc::NFT_MSG_DELSETELEM, 0) };
    for chunk in elements.chunks(ELEMENTS_AT_ONCE) {
        t.change(kind, flags, |a| {
            a.text(1, TABLE).text(2, set);
            a.nest(3, |list| {
                for element in chunk {
                    list.nest(1, |e| element.write(e));
                }
            });
        });
    }
}

fn rule(t: &mut Transaction, chain: &str, expressions: impl FnOnce(&mut Rule<'_, '_>)) {
    t.change(libc::NFT_MSG_NEWRULE, APPEND, |a| {
        a.text(1, TABLE).text(2, chain);
        a.nest(4, |list| expressions(&mut Rule(list)));
    });
}

fn empty_chain(t: &mut Transaction, chain: &str) {
    t.change(libc::NFT_MSG_DELRULE, 0, |a| {
        a.text(1, TABLE).text(2, chain);
    });
}

fn delete_chain(t: &mut Transaction, chain: &str) {
    t.change(libc::NFT_MSG_DELCHAIN, 0, |a| {
        a.text(1, TABLE).text(3, chain);
    });
}
