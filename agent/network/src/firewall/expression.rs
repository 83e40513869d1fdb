//! The expressions that rules are made of (linux/netfilter/nf_tables.h): small programs over registers.

use crate::netlink::Attributes;

const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const LIST_ELEM: u16 = 1;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

/// `NFT_CT_MARK`.
const CONNECTION_MARK: u32 = 3;

/// The register that holds a verdict.
pub(super) const VERDICT: u32 = 0;
/// The first of the registers of four bytes; values longer than that fill those behind it.
pub(super) const R0: u32 = 8;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    Accept,
    Drop,
    Return,
    Jump(&'a str),
    Goto(&'a str),
}

impl Verdict<'_> {
    /// Writes the attribute `nft_data_attributes` with this verdict.
    pub(super) fn write(self, data: &mut Attributes<'_>) {
        const CODE: u16 = 1;
        const CHAIN: u16 = 2;
        let (code, chain) = match self {
            Self::Drop => (0, None),
            Self::Accept => (1, None),
            Self::Jump(chain) => (-3, Some(chain)),
            Self::Goto(chain) => (-4, Some(chain)),
            Self::Return => (-5, None),
        };
        data.nest(DATA_VERDICT, |v| {
            v.bytes(CODE, &i32::to_be_bytes(code));
            if let Some(chain) = chain {
                v.text(CHAIN, chain);
            }
        });
    }
}

/// Writes a value as `nft_data_attributes`.
pub(super) fn value(data: &mut Attributes<'_>, bytes: &[u8]) {
    data.bytes(DATA_VALUE, bytes);
}

/// Keys of `meta`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meta {
    OutInterface = 5,
    InName = 6,
    OutName = 7,
    Family = 15,
    Protocol = 16,
}

/// Where a payload offset counts from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Base {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// The expressions of one rule, in the order they are tried. A comparison that fails ends the rule.
pub(super) struct Rule<'a, 'b>(pub(super) &'a mut Attributes<'b>);

impl Rule<'_, '_> {
    fn add(&mut self, name: &str, data: impl FnOnce(&mut Attributes<'_>)) -> &mut Self {
        self.0.nest(LIST_ELEM, |e| {
            e.text(EXPR_NAME, name).nest(EXPR_DATA, data);
        });
        self
    }

    pub(super) fn load(&mut self, key: Meta, register: u32) -> &mut Self {
        self.add("meta", |a| {
            a.be32(1, register).be32(2, key as u32);
        })
    }

    pub(super) fn payload(&mut self, base: Base, offset: u32, length: u32, register: u32) -> &mut Self {
        self.add("payload", |a| {
            a.be32(1, register).be32(2, base as u32).be32(3, offset).be32(4, length);
        })
    }

    /// Writes a register into the transport header and mends its checksum, which lies at `checksum`.
    pub(super) fn rewrite(&mut self, register: u32, offset: u32, length: u32, checksum: u32) -> &mut Self {
        const INTERNET_CHECKSUM: u32 = 1;
        self.add("payload", |a| {
            a.be32(5, register)
                .be32(2, Base::Transport as u32)
                .be32(3, offset)
                .be32(4, length)
                .be32(6, INTERNET_CHECKSUM)
                .be32(7, checksum)
                .be32(8, 0);
        })
    }

    pub(super) fn set(&mut self, register: u32, bytes: &[u8]) -> &mut Self {
        self.add("immediate", |a| {
            a.be32(1, register).nest(2, |d| value(d, bytes));
        })
    }

    pub(super) fn is(&mut self, register: u32, bytes: &[u8]) -> &mut Self {
        self.compare(register, 0, bytes)
    }

    pub(super) fn is_not(&mut self, register: u32, bytes: &[u8]) -> &mut Self {
        self.compare(register, 1, bytes)
    }

    fn compare(&mut self, register: u32, operation: u32, bytes: &[u8]) -> &mut Self {
        self.add("cmp", |a| {
            a.be32(1, register).be32(2, operation).nest(3, |d| value(d, bytes));
        })
    }

    /// The value in the register is in the set.
    pub(super) fn within(&mut self, register: u32, set: &str) -> &mut Self {
        self.add("lookup", |a| {
            a.text(1, set).be32(2, register);
        })
    }

    /// Replaces a register by what the map has for it; ends the rule when it has nothing.
    pub(super) fn map(&mut self, register: u32, map: &str, into: u32) -> &mut Self {
        self.add("lookup", |a| {
            a.text(1, map).be32(2, register).be32(3, into);
        })
    }

    /// The packet's connection has one of the states (bits of `ct state`).
    pub(super) fn connection_state(&mut self, mask: u32) -> &mut Self {
        self.connection(0, mask)
    }

    /// The packet's connection has one of the marks (bits of `ct status`).
    pub(super) fn connection_status(&mut self, mask: u32) -> &mut Self {
        self.connection(2, mask)
    }

    fn connection(&mut self, key: u32, mask: u32) -> &mut Self {
        self.add("ct", |a| {
            a.be32(1, R0).be32(2, key);
        });
        self.masked(mask);
        self.is_not(R0, &[0; 4])
    }

    /// The destination is an address of this host.
    pub(super) fn destination_is_local(&mut self) -> &mut Self {
        const DESTINATION: u32 = 1 << 1;
        const ADDRESS_TYPE: u32 = 3;
        self.add("fib", |a| {
            a.be32(1, R0).be32(2, ADDRESS_TYPE).be32(3, DESTINATION);
        });
        self.is(R0, &u32::from(libc::RTN_LOCAL).to_ne_bytes())
    }

    /// Sends the connection to the address and port in two registers.
    pub(super) fn redirect(&mut self, family: u8, address: u32, port: u32) {
        const DESTINATION: u32 = 1;
        self.add("nat", |a| {
            a.be32(1, DESTINATION).be32(2, u32::from(family)).be32(3, address).be32(5, port);
        });
    }

    /// Sends the connection to the address in a register; the port stays.
    pub(super) fn lead_to(&mut self, family: u8, address: u32) {
        const DESTINATION: u32 = 1;
        self.add("nat", |a| {
            a.be32(1, DESTINATION).be32(2, u32::from(family)).be32(3, address);
        });
    }

    /// Marks the connection with the value in a register.
    pub(super) fn mark_connection(&mut self, register: u32) -> &mut Self {
        self.add("ct", |a| {
            a.be32(4, register).be32(2, CONNECTION_MARK);
        })
    }

    /// The connection's mark is `value` under `mask`.
    pub(super) fn connection_mark(&mut self, wanted: u32, mask: u32) -> &mut Self {
        self.add("ct", |a| {
            a.be32(1, R0).be32(2, CONNECTION_MARK);
        });
        self.masked(mask);
        self.is(R0, &wanted.to_ne_bytes())
    }

    /// The packet gets its connection's mark.
    pub(super) fn take_connection_mark(&mut self) -> &mut Self {
        const PACKET_MARK: u32 = 3;
        self.add("ct", |a| {
            a.be32(1, R0).be32(2, CONNECTION_MARK);
        });
        self.add("meta", |a| {
            a.be32(3, R0).be32(2, PACKET_MARK);
        })
    }

    /// Leaves of the first register the bits of `mask`.
    fn masked(&mut self, mask: u32) -> &mut Self {
        self.add("bitwise", |a| {
            a.be32(1, R0)
                .be32(2, R0)
                .be32(3, 4)
                .nest(4, |d| value(d, &mask.to_ne_bytes()))
                .nest(5, |d| value(d, &[0; 4]));
        })
    }

    /// A number below `modulus`, by chance, in the host's byte order.
    pub(super) fn chance(&mut self, modulus: u32, register: u32) -> &mut Self {
        const RANDOM: u32 = 1;
        self.add("numgen", |a| {
            a.be32(1, register).be32(2, modulus).be32(3, RANDOM).be32(4, 0);
        })
    }

    /// Answers as a host does whose port is closed.
    pub(super) fn refuse(&mut self, tcp: bool) {
        const TCP_RESET: u32 = 1;
        const UNREACHABLE: u32 = 2;
        const PORT: u8 = 1;
        self.add("reject", |a| {
            a.be32(1, if tcp { TCP_RESET } else { UNREACHABLE });
            if !tcp {
                a.bytes(2, &[PORT]);
            }
        });
    }

    /// Hides the connection's source behind the address of the interface it leaves by.
    pub(super) fn masquerade(&mut self) {
        self.add("masq", |_| {});
    }

    pub(super) fn verdict(&mut self, verdict: Verdict<'_>) {
        self.add("immediate", |a| {
            a.be32(1, VERDICT).nest(2, |d| verdict.write(d));
        });
    }

    pub(super) fn ipv4(&mut self) -> &mut Self {
        self.load(Meta::Family, R0).is(R0, &[libc::NFPROTO_IPV4 as u8])
    }

    pub(super) fn ipv6(&mut self) -> &mut Self {
        self.load(Meta::Family, R0).is(R0, &[libc::NFPROTO_IPV6 as u8])
    }
}

/// An interface name as `meta iifname` gives it: padded with zeros to 16 bytes.
pub(super) fn interface(name: &str) -> [u8; 16] {
    let mut padded = [0; 16];
    for (to, from) in padded[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    padded
}
