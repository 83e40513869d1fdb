//! A range of addresses of either family, with the arithmetic that address plans need.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;
use crate::options::Pool;

/// An address range of a prefix length, such as `172.17.0.0/16`; bits behind the prefix are zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    base: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The range of this prefix length that `address` is in; none when the length is too great.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if prefix > bits {
            return None;
        }
        let host = low_bits(bits - prefix);
        Some(Self { base: from_number(number(address) & !host, address.is_ipv6()), prefix })
    }

    /// The lowest address.
    pub fn base(self) -> IpAddr {
        self.base
    }

    /// The prefix length.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it is of IPv6.
    pub fn is_ipv6(self) -> bool {
        self.base.is_ipv6()
    }

    /// The highest address; the broadcast address of an IPv4 subnet.
    pub fn last(self) -> IpAddr {
        from_number(number(self.base) | low_bits(self.width() - self.prefix), self.is_ipv6())
    }

    /// Whether the address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        Self::new(address, self.prefix).is_some_and(|s| s == self)
    }

    /// Whether the whole of `other` lies in it.
    pub fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.base)
    }

    /// Whether the two share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The lowest address plus `offset`, if that is still inside.
    pub fn nth(self, offset: u128) -> Option<IpAddr> {
        if offset > low_bits(self.width() - self.prefix) {
            return None;
        }
        Some(from_number(number(self.base) + offset, self.is_ipv6()))
    }

    /// How far `address` is from the lowest address, if it is inside.
    pub fn offset(self, address: IpAddr) -> Option<u128> {
        self.contains(address).then(|| number(address) - number(self.base))
    }

    /// The range's parts of a longer prefix, in ascending order.
    pub fn parts(self, prefix: u8) -> impl Iterator<Item = Self> {
        let fits = prefix >= self.prefix && prefix <= self.width();
        let count = if fits { low_bits(prefix - self.prefix) } else { 0 };
        let step = u32::from(self.width().saturating_sub(prefix));
        let (base, v6) = (number(self.base), self.is_ipv6());
        (0..=count)
            .filter(move |_| fits)
            .map(move |n| Self { base: from_number(base + n.checked_shl(step).unwrap_or(0), v6), prefix })
    }

    /// Whether `address` may be given to an interface: not the network's own
    /// address, and in IPv4 not the broadcast address.
    pub fn is_usable(self, address: IpAddr) -> bool {
        let room = self.width() - self.prefix;
        if !self.contains(address) {
            false
        } else if room < 2 {
            // RFC 3021 and RFC 6164: with two addresses or one, all can be used.
            true
        } else {
            address != self.base && (self.is_ipv6() || address != self.last())
        }
    }

    fn width(self) -> u8 {
        if self.is_ipv6() { 128 } else { 32 }
    }
}

fn low_bits(count: u8) -> u128 {
    match count {
        0 => 0,
        n => u128::MAX >> (128 - u32::from(n)),
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    }
}

fn from_number(n: u128, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::from_bits(n))
    } else {
        // Only the low 32 bits are ever set for IPv4.
        IpAddr::V4(Ipv4Addr::from_bits(n as u32))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Subnet {
    type Err = Error;

    /// `address/length`; bits behind the prefix are cleared.
    fn from_str(s: &str) -> Result<Self, Error> {
        let wrong = || Error::Subnet(s.to_owned());
        let (address, prefix) = s.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix = Some(prefix).filter(|p| p.bytes().all(|b| b.is_ascii_digit())).ok_or_else(wrong)?;
        Self::new(address, prefix.parse().map_err(|_| wrong())?).ok_or_else(wrong)
    }
}

impl Serialize for Subnet {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Pool {
    /// The ranges that Docker takes its subnets from, in its order; people's
    /// firewalls and VPN settings know them.
    pub fn defaults() -> Vec<Self> {
        let v4 = |b: u8, prefix: u8| Subnet { base: Ipv4Addr::new(172, b, 0, 0).into(), prefix };
        let mut pools: Vec<Self> = [v4(17, 16), v4(18, 16), v4(19, 16), v4(20, 14), v4(24, 14), v4(28, 14)]
            .map(|base| Self { base, size: 16 })
            .into();
        pools.push(Self { base: Subnet { base: Ipv4Addr::new(192, 168, 0, 0).into(), prefix: 16 }, size: 20 });
        pools
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(s: &str) -> Subnet {
        s.parse().unwrap()
    }

    #[test]
    fn parsing_clears_the_host_part_and_refuses_nonsense() {
        assert_eq!(subnet("10.1.2.3/8").to_string(), "10.0.0.0/8");
        assert_eq!(subnet("fd00::5/64").to_string(), "fd00::/64");
        assert_eq!(subnet("0.0.0.0/0").last().to_string(), "255.255.255.255");
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/+8", "x/8", "10.0.0.0/", "10.0.0.0/8/8"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_relate() {
        let wide = subnet("172.16.0.0/12");
        assert!(wide.covers(subnet("172.17.0.0/16")) && !subnet("172.17.0.0/16").covers(wide));
        assert!(subnet("172.17.0.0/16").overlaps(wide));
        assert!(!subnet("10.0.0.0/8").overlaps(wide) && !subnet("::/0").overlaps(wide));
        assert_eq!(wide.parts(16).count(), 16);
        assert_eq!(wide.parts(8).count(), 0);
        assert_eq!(wide.parts(16).nth(1).unwrap(), subnet("172.17.0.0/16"));
        assert_eq!(subnet("fd00::/48").parts(64).nth(2).unwrap(), subnet("fd00:0:0:2::/64"));
    }

    #[test]
    fn addresses_that_interfaces_can_have() {
        let s = subnet("10.0.0.0/30");
        let usable: Vec<_> =
            (0..4).filter_map(|n| s.nth(n)).filter(|a| s.is_usable(*a)).map(|a| a.to_string()).collect();
        assert_eq!(usable, ["10.0.0.1", "10.0.0.2"]);
        assert!(subnet("10.0.0.0/31").is_usable("10.0.0.0".parse().unwrap()));
        assert_eq!(s.nth(4), None);
        assert_eq!(s.offset("10.0.0.3".parse().unwrap()), Some(3));
    }
}
