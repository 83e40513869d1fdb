//! The addresses of one network: who has which, and which one is next.

use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use hoist_proto::spec::{NetworkAllocation, NetworkAttachment};
use ipnet::IpNet;

/// Both families of a network.
#[derive(Debug, Default)]
pub(super) struct Pools {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    v6: bool,
    subnet: IpNet,
    first: u128,
    last: u128,
    /// The gateway and addresses set aside.
    reserved: HashSet<u128>,
    holders: BTreeMap<u128, String>,
    /// After the one given last, so that an address rests for as long as can be.
    next: u128,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Family {
    fn address(&self, number: u128) -> IpAddr {
        if self.v6 {
            return Ipv6Addr::from_bits(number).into();
        }
        // An IPv4 subnet's numbers have 32 bits.
        Ipv4Addr::from_bits(number as u32).into()
    }

    /// From `next` on and around; the search ends at the first address that nobody has.
    fn take(&mut self, holder: &str) -> Result<IpAddr, String> {
        let tries = u128::try_from(self.holders.len() + self.reserved.len()).unwrap_or(u128::MAX).saturating_add(1);
        let mut number = self.next;
        for _ in 0..tries.min(self.last - self.first + 1) {
            if !self.reserved.contains(&number) && !self.holders.contains_key(&number) {
                self.holders.insert(number, holder.to_owned());
                self.next = self.after(number);
                return Ok(self.address(number));
            }
            number = self.after(number);
        }
        Err(format!("{} has no address left", self.subnet))
    }

    fn after(&self, number: u128) -> u128 {
        if number >= self.last { self.first } else { number + 1 }
    }

    fn take_this(&mut self, address: IpAddr, holder: &str) -> Result<IpAddr, String> {
        if !self.subnet.contains(&address) {
            return Err(format!("{address} is not in {}", self.subnet));
        }
        let number = number(address);
        if self.reserved.contains(&number) {
            return Err(format!("{address} is the gateway's, or set aside"));
        }
        match self.holders.get(&number) {
            Some(other) if other != holder => Err(format!("another one still has {address}")),
            _ => {
                self.holders.insert(number, holder.to_owned());
                Ok(address)
            }
        }
    }
}

impl Pools {
    pub(super) fn of(allocation: &NetworkAllocation) -> Self {
        let mut families = Vec::new();
        for pool in &allocation.pools {
            let Some(subnet) = pool.subnet.as_deref().and_then(|text| text.parse::<IpNet>().ok()) else { continue };
            let v6 = matches!(subnet, IpNet::V6(_));
            let range = pool.ip_range.as_deref().and_then(|text| text.parse::<IpNet>().ok()).unwrap_or(subnet);
            let (mut first, mut last) = (number(range.network()), number(range.broadcast()));
            // Neither a subnet's own address nor its broadcast address is anybody's.
            if range.network() == subnet.network() && last - first > 1 {
                first += 1;
            }
            if !v6 && range.broadcast() == subnet.broadcast() && last > first {
                last -= 1;
            }
            let reserved = pool.gateway.iter().chain(pool.aux_addresses.values()).map(|a| number(*a)).collect();
            families.push(Family { v6, subnet, first, last, reserved, holders: BTreeMap::new(), next: first });
        }
        Self { families }
    }

    /// One address of each family, or none; those that are asked for, if any are.
    pub(super) fn take(&mut self, holder: &str, wanted: Option<&NetworkAttachment>) -> Result<Vec<IpAddr>, String> {
        let mut taken = Vec::new();
        for family in &mut self.families {
            let asked = match family.v6 {
                true => wanted.and_then(|wanted| wanted.ipv6).map(IpAddr::V6),
                false => wanted.and_then(|wanted| wanted.ipv4).map(IpAddr::V4),
            };
            let one = match asked {
                Some(address) => family.take_this(address, holder),
                None => family.take(holder),
            };
            match one {
                Ok(address) => taken.push(address),
                Err(why) => {
                    self.release(holder);
                    return Err(why);
                }
            }
        }
        Ok(taken)
    }

    /// Notes what was given before.
    pub(super) fn note(&mut self, holder: &str, addresses: &[IpAddr]) {
        for address in addresses {
            for family in self.families.iter_mut().filter(|family| family.v6 == address.is_ipv6()) {
                family.holders.insert(number(*address), holder.to_owned());
            }
        }
    }

    pub(super) fn release(&mut self, holder: &str) {
        for family in &mut self.families {
            family.holders.retain(|_, other| other != holder);
        }
    }

    /// Releases these, as far as they are the holder's.
    pub(super) fn release_these(&mut self, holder: &str, addresses: &[IpAddr]) {
        for address in addresses {
            for family in self.families.iter_mut().filter(|family| family.v6 == address.is_ipv6()) {
                if family.holders.get(&number(*address)).is_some_and(|other| other == holder) {
                    family.holders.remove(&number(*address));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hoist_proto::spec::IpamPool;

    use super::*;

    fn pools(subnet: &str, range: Option<&str>) -> Pools {
        let pool = IpamPool {
            subnet: Some(subnet.to_owned()),
            ip_range: range.map(str::to_owned),
            gateway: subnet.parse::<IpNet>().unwrap().hosts().next(),
            ..IpamPool::default()
        };
        Pools::of(&NetworkAllocation { vni: 4096, port: 4789, pools: vec![pool] })
    }

    #[test]
    fn addresses_rest_before_they_are_given_again() {
        let mut pools = pools("10.1.0.0/29", None);
        let mut give = |holder: &str| pools.take(holder, None).map(|all| all[0].to_string());
        assert_eq!(give("a").unwrap(), "10.1.0.2");
        assert_eq!(give("b").unwrap(), "10.1.0.3");
        pools.release_these("a", &["10.1.0.2".parse().unwrap()]);
        let mut give = |holder: &str| pools.take(holder, None).map(|all| all[0].to_string());
        assert_eq!(give("c").unwrap(), "10.1.0.4");
        for holder in ["d", "e"] {
            give(holder).unwrap();
        }
        assert_eq!(give("f").unwrap(), "10.1.0.2");
        assert_eq!(give("g").unwrap_err(), "10.1.0.0/29 has no address left");
    }

    #[test]
    fn what_another_has_is_neither_released_nor_given() {
        let mut pools = pools("10.1.0.0/24", Some("10.1.0.128/25"));
        assert_eq!(pools.take("a", None).unwrap(), ["10.1.0.128".parse::<IpAddr>().unwrap()]);
        let wanted = NetworkAttachment { ipv4: Some("10.1.0.9".parse().unwrap()), ..NetworkAttachment::default() };
        assert_eq!(pools.take("b", Some(&wanted)).unwrap(), ["10.1.0.9".parse::<IpAddr>().unwrap()]);
        pools.release_these("a", &["10.1.0.9".parse().unwrap()]);
        assert!(pools.take("c", Some(&wanted)).unwrap_err().contains("10.1.0.9"));
        let wanted = NetworkAttachment { ipv4: Some("10.2.0.9".parse().unwrap()), ..NetworkAttachment::default() };
        assert!(pools.take("c", Some(&wanted)).unwrap_err().contains("not in 10.1.0.0/24"));
    }
}
