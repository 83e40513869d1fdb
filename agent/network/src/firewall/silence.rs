//! A table that drops all packets of some sources, for labs.

use std::net::IpAddr;

use super::{
    expression::{Base, R0, Rule, Verdict},
    wire::{self, APPEND, CREATE, INET, Transaction},
};
use crate::netlink::Refusal;

const TABLE: &str = "hoist-lab";
const CHAIN: &str = "silence";

/// Replaces the table of the calling thread's namespace; with no sources it goes.
pub(crate) fn silence(sources: &[IpAddr]) -> Result<(), Refusal> {
    const PREROUTING_HOOK: u32 = 0;
    /// Before connection tracking, whose `raw` is at -300.
    const FIRST: i32 = -350;
    let mut socket = wire::open().map_err(|err| Refusal {
        errno: nix::errno::Errno::from_raw(err.raw_os_error().unwrap_or(libc::EIO)),
        words: None,
    })?;
    let mut t = Transaction::new(INET);
    let table = |t: &mut Transaction| {
        t.change(libc::NFT_MSG_NEWTABLE, CREATE, |a| {
            a.text(1, TABLE).be32(2, 0);
        });
    };
    // Deleting what is not there fails, hence it is made first.
    table(&mut t);
    t.change(libc::NFT_MSG_DELTABLE, 0, |a| {
        a.text(1, TABLE);
    });
    if !sources.is_empty() {
        table(&mut t);
        t.change(libc::NFT_MSG_NEWCHAIN, CREATE, |a| {
            a.text(1, TABLE).text(3, CHAIN);
            a.nest(4, |hook| {
                hook.be32(1, PREROUTING_HOOK).be32(2, FIRST as u32);
            });
            a.text(7, "filter");
        });
    }
    for source in sources {
        t.change(libc::NFT_MSG_NEWRULE, APPEND, |a| {
            a.text(1, TABLE).text(2, CHAIN);
            a.nest(4, |expressions| {
                let mut rule = Rule(expressions);
                match source {
                    IpAddr::V4(v4) => rule.ipv4().payload(Base::Network, 12, 4, R0).is(R0, &v4.octets()),
                    IpAddr::V6(v6) => rule.ipv6().payload(Base::Network, 8, 16, R0).is(R0, &v6.octets()),
                }
                .verdict(Verdict::Drop);
            });
        });
    }
    t.commit(&mut socket)
}
