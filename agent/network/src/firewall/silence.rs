//! A table that drops all packets of some sources, for labs.

use std::net::IpAddr;

use super::{
    expression::{Base, R0, Verdict},
    objects,
    wire::{self, INET, Transaction},
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
    // Deleting what is not there fails, hence it is made first.
    objects::put_table(&mut t, TABLE);
    objects::drop_table(&mut t, TABLE);
    if !sources.is_empty() {
        objects::put_table(&mut t, TABLE);
        objects::put_chain(&mut t, TABLE, CHAIN, Some(("filter", PREROUTING_HOOK, FIRST)));
    }
    for source in sources {
        objects::put_rule(&mut t, TABLE, CHAIN, |rule| {
            match source {
                IpAddr::V4(v4) => rule.ipv4().payload(Base::Network, 12, 4, R0).is(R0, &v4.octets()),
                IpAddr::V6(v6) => rule.ipv6().payload(Base::Network, 8, 16, R0).is(R0, &v6.octets()),
            }
            .verdict(Verdict::Drop);
        });
    }
    t.commit(&mut socket)
}
