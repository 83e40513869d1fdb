//! nfnetlink: transactions for the nf_tables subsystem.

use std::io;

use crate::netlink::{Attributes, Batch, Family, Refusal, Socket};

/// `NFNL_SUBSYS_NFTABLES`, the high byte of a message's type.
const SUBSYSTEM: u16 = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8;
/// `NFPROTO_INET`: IPv4 and IPv6 in one table.
pub(super) const INET: u8 = libc::NFPROTO_INET as u8;
pub(super) const IPV4: u8 = libc::NFPROTO_IPV4 as u8;

pub(super) const CREATE: i32 = libc::NLM_F_CREATE;
pub(super) const APPEND: i32 = libc::NLM_F_CREATE | libc::NLM_F_APPEND;

/// Changes of one family that take effect together or not at all.
pub(crate) struct Transaction {
    family: u8,
    batch: Batch,
    count: usize,
}

impl Transaction {
    pub(super) fn new(family: u8) -> Self {
        let mut batch = Batch::default();
        mark(&mut batch, libc::NFNL_MSG_BATCH_BEGIN);
        Self { family, batch, count: 0 }
    }

    /// Adds a change.
    pub(super) fn change(&mut self, kind: i32, flags: i32, body: impl FnOnce(&mut Attributes<'_>)) {
        let family = self.family;
        self.batch.push(SUBSYSTEM | kind as u16, flags, |out| {
            out.extend_from_slice(&[family, libc::NFNETLINK_V0 as u8, 0, 0]);
            body(&mut Attributes(out));
        });
        self.count += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Hands the changes to the kernel.
    pub(super) fn commit(mut self, socket: &mut Socket) -> Result<(), Refusal> {
        if self.is_empty() {
            return Ok(());
        }
        mark(&mut self.batch, libc::NFNL_MSG_BATCH_END);
        // The kernel answers for changes only; the last one stands for all before it.
        socket.send_answered(self.batch, self.count).map_err(|(_, refusal)| refusal)
    }
}

fn mark(batch: &mut Batch, kind: i32) {
    batch.push(kind as u16, 0, |out| {
        out.extend_from_slice(&[libc::AF_UNSPEC as u8, libc::NFNETLINK_V0 as u8]);
        out.extend_from_slice(&(libc::NFNL_SUBSYS_NFTABLES as u16).to_be_bytes());
    });
}

/// Reads objects of one kind: `body` narrows the request, `each` gets the attributes of every answer.
pub(super) fn list(
    socket: &mut Socket,
    kind: i32,
    family: u8,
    body: impl FnOnce(&mut Attributes<'_>),
    mut each: impl FnMut(u8, &[u8]),
) -> Result<(), Refusal> {
    socket.dump(
        SUBSYSTEM | kind as u16,
        libc::NLM_F_DUMP,
        |out| {
            out.extend_from_slice(&[family, libc::NFNETLINK_V0 as u8, 0, 0]);
            body(&mut Attributes(out));
        },
        |_, answer| {
            if let Some((family, attributes)) = answer.first().zip(answer.get(4..)) {
                each(*family, attributes);
            }
        },
    )
}

/// For the network namespace of the calling thread.
pub(super) fn open() -> io::Result<Socket> {
    Socket::open(Family::Netfilter)
}
