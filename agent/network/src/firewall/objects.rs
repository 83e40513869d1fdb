//! The objects of a table, as they are put into a transaction: sets, chains, rules, elements.

use super::elements::Element;
use super::expression::Rule;
use super::wire::{APPEND, CREATE, Transaction};

/// Elements of one request: their attribute must stay below 64 KiB.
const ELEMENTS_AT_ONCE: usize = 400;
/// The flag of sets that have data.
pub(super) const MAP: u32 = 0x8;

/// A set, or a map when it has data.
pub(super) struct Set<'a> {
    pub(super) name: &'a str,
    pub(super) flags: u32,
    /// Type and length of its keys.
    pub(super) key: (u32, u32),
    /// Type and length of what the keys lead to; verdicts have no length of their own.
    pub(super) data: Option<(u32, u32)>,
}

/// Where a base chain is hooked in: its type, the hook's number, the priority.
pub(super) type Hook<'a> = (&'a str, u32, i32);

pub(super) fn put_table(t: &mut Transaction, table: &str) {
    t.change(libc::NFT_MSG_NEWTABLE, CREATE, |a| {
        a.text(1, table).be32(2, 0);
    });
}

/// One that is not there cannot be dropped.
pub(super) fn drop_table(t: &mut Transaction, table: &str) {
    t.change(libc::NFT_MSG_DELTABLE, 0, |a| {
        a.text(1, table);
    });
}

/// `number` tells the set from others of the transaction. `host_order` is for nft's listing of keys that are in the
/// host's own byte order.
pub(super) fn put_set(t: &mut Transaction, table: &str, set: &Set<'_>, number: u32, host_order: bool) {
    t.change(libc::NFT_MSG_NEWSET, CREATE, |a| {
        a.text(1, table).text(2, set.name).be32(3, set.flags).be32(4, set.key.0).be32(5, set.key.1);
        if let Some((kind, length)) = set.data {
            a.be32(6, kind);
            if length > 0 {
                a.be32(7, length);
            }
        }
        a.be32(10, number);
        if host_order {
            // Byte order of keys (0), four bytes, the host's own (1).
            let [a1, a2, a3, a4] = 1_u32.to_ne_bytes();
            a.bytes(13, &[0, 4, a1, a2, a3, a4]);
        }
    });
}

pub(super) fn delete_set(t: &mut Transaction, table: &str, name: &str) {
    t.change(libc::NFT_MSG_DELSET, 0, |a| {
        a.text(1, table).text(2, name);
    });
}

pub(super) fn put_chain(t: &mut Transaction, table: &str, name: &str, hook: Option<Hook<'_>>) {
    t.change(libc::NFT_MSG_NEWCHAIN, CREATE, |a| {
        a.text(1, table).text(3, name);
        if let Some((kind, number, priority)) = hook {
            a.nest(4, |h| {
                h.be32(1, number).bytes(2, &priority.to_be_bytes());
            });
            a.text(7, kind);
        }
    });
}

/// Takes all rules out of a chain.
pub(super) fn empty_chain(t: &mut Transaction, table: &str, name: &str) {
    t.change(libc::NFT_MSG_DELRULE, 0, |a| {
        a.text(1, table).text(2, name);
    });
}

pub(super) fn delete_chain(t: &mut Transaction, table: &str, name: &str) {
    t.change(libc::NFT_MSG_DELCHAIN, 0, |a| {
        a.text(1, table).text(3, name);
    });
}

pub(super) fn put_rule(t: &mut Transaction, table: &str, chain: &str, expressions: impl FnOnce(&mut Rule<'_, '_>)) {
    t.change(libc::NFT_MSG_NEWRULE, APPEND, |a| {
        a.text(1, table).text(2, chain);
        a.nest(4, |list| expressions(&mut Rule(list)));
    });
}

pub(super) fn change_elements(t: &mut Transaction, table: &str, set: &str, elements: &[Element], add: bool) {
    let (kind, flags) = if add { (libc::NFT_MSG_NEWSETELEM, CREATE) } else { (libc::NFT_MSG_DELSETELEM, 0) };
    for chunk in elements.chunks(ELEMENTS_AT_ONCE) {
        t.change(kind, flags, |a| {
            a.text(1, table).text(2, set);
            a.nest(3, |list| {
                for element in chunk {
                    list.nest(1, |e| element.write(e));
                }
            });
        });
    }
}
