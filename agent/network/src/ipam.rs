//! Address management, without any side effect: which subnets a network gets, and which addresses
//! its containers get.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::error::Error;
use crate::model::{IpamConfig, NetworkSpec};
use crate::options::Pool;
use crate::subnet::Subnet;

/// What is in the way of a new subnet.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Subnets of our networks, with the networks' names.
    pub(crate) networks: Vec<(Subnet, String)>,
    /// The host's routes, with their interfaces.
    pub(crate) routes: Vec<(Subnet, String)>,
}

impl Taken {
    fn is_free(&self, subnet: Subnet) -> bool {
        !self.networks.iter().chain(&self.routes).any(|(s, _)| s.overlaps(subnet))
    }

    /// A subnet that a person chose may lie inside a wider route of the host: the more specific one
    /// wins, as the person surely means. It must not hide a route that is as specific or more.
    fn check(&self, subnet: Subnet) -> Result<(), Error> {
        if let Some((other, network)) = self.networks.iter().find(|(s, _)| s.overlaps(subnet)) {
            return Err(Error::Overlap { subnet, other: *other, network: network.clone() });
        }
        match self.routes.iter().find(|(s, _)| subnet.covers(*s)) {
            Some((route, interface)) => {
                Err(Error::OverlapRoute { subnet, route: *route, interface: interface.clone() })
            }
            None => Ok(()),
        }
    }
}

/// Fills in what a specification leaves open, and refuses what does not fit.
///
/// # Errors
/// [`Error::Plan`], [`Error::Overlap`], [`Error::OverlapRoute`], [`Error::PoolsExhausted`].
pub(crate) fn plan(spec: &NetworkSpec, pools: &[Pool], taken: &Taken) -> Result<Vec<IpamConfig>, Error> {
    if !matches!(spec.ipam.driver.as_str(), "" | "default") {
        return Err(Error::IpamDriver(spec.ipam.driver.clone()));
    }
    if !spec.enable_ipv4 && !spec.enable_ipv6 {
        return Err(Error::Plan("IPv4 and IPv6 are both disabled".into()));
    }
    let mut plan = Vec::new();
    for v6 in [false, true] {
        let enabled = if v6 { spec.enable_ipv6 } else { spec.enable_ipv4 };
        let given = given(spec, v6)?;
        match (enabled, given) {
            (false, Some(config)) => {
                let subnet = config.subnet.map(|s| s.to_string()).unwrap_or_default();
                return Err(Error::Plan(format!("subnet {subnet} is given, but {} is not enabled", family_name(v6))));
            }
            (false, None) => {}
            (true, Some(config)) => {
                let subnet = config.subnet.expect("a configuration belongs to a family by its subnet");
                taken.check(subnet)?;
                plan.push(complete(config.clone(), subnet)?);
            }
            (true, None) => {
                let subnet = pools
                    .iter()
                    .filter(|p| p.base.is_ipv6() == v6)
                    .flat_map(|p| p.base.parts(p.size))
                    .find(|s| taken.is_free(*s))
                    .ok_or(Error::PoolsExhausted(family_name(v6)))?;
                plan.push(complete(IpamConfig::default(), subnet)?);
            }
        }
    }
    Ok(plan)
}

fn given(spec: &NetworkSpec, v6: bool) -> Result<Option<&IpamConfig>, Error> {
    let mut found = None;
    for config in &spec.ipam.config {
        let Some(subnet) = config.subnet else {
            if *config == IpamConfig::default() {
                continue;
            }
            return Err(Error::Plan("an address range, gateway or auxiliary address needs a subnet".into()));
        };
        if subnet.is_ipv6() == v6 && found.replace(config).is_some() {
            return Err(Error::Plan(format!("more than one {} subnet is given", family_name(v6))));
        }
    }
    Ok(found)
}

/// Checks the parts of a configuration against its subnet and chooses the gateway.
fn complete(mut config: IpamConfig, subnet: Subnet) -> Result<IpamConfig, Error> {
    config.subnet = Some(subnet);
    if let Some(range) = config.ip_range
        && !subnet.covers(range)
    {
        return Err(Error::Plan(format!("range {range} is not inside subnet {subnet}")));
    }
    for (name, address) in &config.aux_addresses {
        if !subnet.is_usable(*address) {
            return Err(Error::Plan(format!("auxiliary address {name}={address} is not inside subnet {subnet}")));
        }
    }
    let taken = |a: &IpAddr| config.aux_addresses.values().any(|aux| aux == a);
    match config.gateway {
        Some(gateway) if !subnet.is_usable(gateway) => {
            return Err(Error::Plan(format!("gateway {gateway} is not inside subnet {subnet}")));
        }
        Some(gateway) if taken(&gateway) => {
            return Err(Error::Plan(format!("gateway {gateway} is also an auxiliary address")));
        }
        Some(_) => {}
        None => {
            let range = config.ip_range.unwrap_or(subnet);
            let first = (0..).map_while(|n| range.nth(n)).find(|a| subnet.is_usable(*a) && !taken(a));
            config.gateway =
                Some(first.ok_or_else(|| Error::Plan(format!("no address of {range} is left for the gateway")))?);
        }
    }
    Ok(config)
}

/// `IPv4` or `IPv6`.
pub(crate) fn family_name(v6: bool) -> &'static str {
    if v6 { "IPv6" } else { "IPv4" }
}

/// The private IPv6 range (RFC 4193) that this machine cuts its subnets from: the same one each
/// time for the same `seed`, and hardly ever another machine's.
pub(crate) fn unique_local_pool(seed: &[u8]) -> Pool {
    let hash = fnv(seed);
    let base = (0xfd_u128 << 120) | (u128::from(hash & 0xff_ffff_ffff) << 80);
    let base = Subnet::new(Ipv6Addr::from_bits(base).into(), 48).expect("48 is a valid prefix length");
    Pool { base, size: 64 }
}

/// FNV-1a: spreads identifiers over a number, where no adversary gains from a collision.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// The addresses of one family on one network, and who has them.
#[derive(Debug)]
pub(crate) struct Addresses {
    network: String,
    subnet: Subnet,
    range: Subnet,
    held: BTreeMap<IpAddr, String>,
    /// No address of the range below this offset is free.
    lowest: u128,
}

impl Addresses {
    /// All free but the gateway and the auxiliary addresses.
    pub(crate) fn new(network: &str, config: &IpamConfig) -> Option<Self> {
        let subnet = config.subnet?;
        let mut held: BTreeMap<_, _> =
            config.aux_addresses.iter().map(|(name, a)| (*a, format!("auxiliary address {name}"))).collect();
        held.extend(config.gateway.map(|g| (g, "the gateway".to_owned())));
        Some(Self { network: network.to_owned(), subnet, range: config.ip_range.unwrap_or(subnet), held, lowest: 0 })
    }

    /// The prefix length that interfaces get.
    pub(crate) fn prefix(&self) -> u8 {
        self.subnet.prefix()
    }

    /// The lowest free address of the range.
    pub(crate) fn take(&mut self, holder: &str) -> Result<IpAddr, Error> {
        while let Some(address) = self.range.nth(self.lowest) {
            if self.subnet.is_usable(address) && !self.held.contains_key(&address) {
                self.held.insert(address, holder.to_owned());
                return Ok(address);
            }
            self.lowest += 1;
        }
        Err(Error::AddressesExhausted { network: self.network.clone(), range: self.range })
    }

    /// This very address, which may lie outside the range.
    pub(crate) fn take_static(&mut self, address: IpAddr, holder: &str) -> Result<IpAddr, Error> {
        let refuse = |reason: String| Err(Error::Address { address, network: self.network.clone(), reason });
        if !self.subnet.contains(address) {
            return refuse(format!("it is not in subnet {}", self.subnet));
        }
        if !self.subnet.is_usable(address) {
            return refuse("it is the subnet's own or broadcast address".into());
        }
        match self.held.get(&address) {
            Some(holder) => {
                let holder = holder.clone();
                Err(Error::AddressInUse { address, network: self.network.clone(), holder })
            }
            None => {
                self.held.insert(address, holder.to_owned());
                Ok(address)
            }
        }
    }

    pub(crate) fn release(&mut self, address: IpAddr) {
        if self.held.remove(&address).is_some()
            && let Some(offset) = self.range.offset(address)
        {
            self.lowest = self.lowest.min(offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(s: &str) -> Subnet {
        s.parse().unwrap()
    }

    fn spec(configs: &[(&str, Option<&str>, Option<&str>)]) -> NetworkSpec {
        let mut spec = NetworkSpec { name: "n".into(), ..NetworkSpec::default() };
        for (s, range, gateway) in configs {
            spec.ipam.config.push(IpamConfig {
                subnet: Some(subnet(s)),
                ip_range: range.map(subnet),
                gateway: gateway.map(|g| g.parse().unwrap()),
                ..IpamConfig::default()
            });
        }
        spec
    }

    fn planned(spec: &NetworkSpec, taken: &Taken) -> Result<String, String> {
        let mut pools = Pool::defaults();
        pools.push(unique_local_pool(b"machine"));
        plan(spec, &pools, taken)
            .map(|p| {
                let show = |c: &IpamConfig| format!("{} {}", c.subnet.unwrap(), c.gateway.unwrap());
                p.iter().map(show).collect::<Vec<_>>().join(", ")
            })
            .map_err(|e| e.to_string())
    }

    #[test]
    fn subnets_come_from_the_pools_where_nothing_is_in_the_way() {
        let mut taken = Taken::default();
        assert_eq!(planned(&spec(&[]), &taken).unwrap(), "172.17.0.0/16 172.17.0.1");
        taken.networks.push((subnet("172.17.0.0/16"), "bridge".into()));
        taken.routes.push((subnet("172.18.4.0/24"), "wg0".into()));
        assert_eq!(planned(&spec(&[]), &taken).unwrap(), "172.19.0.0/16 172.19.0.1");
        taken.routes.push((subnet("172.16.0.0/12"), "vpn".into()));
        assert_eq!(planned(&spec(&[]), &taken).unwrap(), "192.168.0.0/20 192.168.0.1");
        taken.routes.push((subnet("192.168.0.0/16"), "eth0".into()));
        assert_eq!(
            planned(&spec(&[]), &taken).unwrap_err(),
            "no free IPv4 subnet is left in the default address pools: give one, or remove unused networks"
        );
    }

    #[test]
    fn both_families() {
        let mut both = spec(&[]);
        both.enable_ipv6 = true;
        let plan = planned(&both, &Taken::default()).unwrap();
        assert!(plan.starts_with("172.17.0.0/16 172.17.0.1, fd") && plan.ends_with("::1"), "{plan}");
        both.enable_ipv4 = false;
        assert!(planned(&both, &Taken::default()).unwrap().starts_with("fd"));
        both.enable_ipv6 = false;
        assert_eq!(
            planned(&both, &Taken::default()).unwrap_err(),
            "invalid address plan: IPv4 and IPv6 are both disabled"
        );
    }

    #[test]
    fn what_is_given_is_checked() {
        let taken = Taken {
            networks: vec![(subnet("10.1.0.0/16"), "other".into())],
            routes: vec![(subnet("10.0.0.0/8"), "vpn".into()), (subnet("192.168.1.0/24"), "eth0".into())],
        };
        let plan = |s, r, g| planned(&spec(&[(s, r, g)]), &taken);
        assert_eq!(plan("10.2.0.0/16", None, None).unwrap(), "10.2.0.0/16 10.2.0.1");
        assert_eq!(plan("10.2.0.0/16", Some("10.2.8.0/24"), None).unwrap(), "10.2.0.0/16 10.2.8.0");
        assert_eq!(plan("10.2.0.0/16", None, Some("10.2.0.254")).unwrap(), "10.2.0.0/16 10.2.0.254");
        let refusals = [
            plan("10.1.2.0/24", None, None),
            plan("192.168.0.0/16", None, None),
            plan("10.2.0.0/16", Some("10.3.0.0/24"), None),
            plan("10.2.0.0/16", None, Some("10.3.0.1")),
            plan("10.2.0.0/24", None, Some("10.2.0.255")),
            plan("fd00::/64", None, None),
            planned(&spec(&[("10.2.0.0/16", None, None), ("10.3.0.0/16", None, None)]), &taken),
        ];
        let refusals: Vec<_> = refusals.into_iter().map(Result::unwrap_err).collect();
        insta::assert_snapshot!(refusals.join("\n"), @r"
        subnet 10.1.2.0/24 overlaps 10.1.0.0/16 of network other
        subnet 192.168.0.0/16 overlaps the host's route 192.168.1.0/24 on eth0
        invalid address plan: range 10.3.0.0/24 is not inside subnet 10.2.0.0/16
        invalid address plan: gateway 10.3.0.1 is not inside subnet 10.2.0.0/16
        invalid address plan: gateway 10.2.0.255 is not inside subnet 10.2.0.0/24
        invalid address plan: subnet fd00::/64 is given, but IPv6 is not enabled
        invalid address plan: more than one IPv4 subnet is given
        ");
    }

    #[test]
    fn addresses_are_given_lowest_first_and_come_back() {
        let config = plan(&spec(&[("10.0.0.0/29", None, None)]), &[], &Taken::default()).unwrap().remove(0);
        let mut addresses = Addresses::new("n", &config).unwrap();
        let take = |a: &mut Addresses| a.take("c").map(|a| a.to_string()).map_err(|e| e.to_string());
        assert_eq!(addresses.take_static("10.0.0.3".parse().unwrap(), "db").unwrap().to_string(), "10.0.0.3");
        let all: Vec<_> = (0..5).map(|_| take(&mut addresses)).collect();
        assert_eq!(all[..4], ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"].map(|a| Ok(a.to_owned())));
        assert_eq!(all[4], Err("network n has no free address left in 10.0.0.0/29".into()));
        addresses.release("10.0.0.4".parse().unwrap());
        assert_eq!(take(&mut addresses).unwrap(), "10.0.0.4");
        let refusals = ["10.0.0.3", "10.0.0.1", "10.0.1.1", "10.0.0.7"]
            .map(|a| addresses.take_static(a.parse().unwrap(), "x").unwrap_err().to_string());
        insta::assert_snapshot!(refusals.join("\n"), @r"
        address 10.0.0.3 on network n is already in use by db
        address 10.0.0.1 on network n is already in use by the gateway
        address 10.0.1.1 cannot be used on network n: it is not in subnet 10.0.0.0/29
        address 10.0.0.7 cannot be used on network n: it is the subnet's own or broadcast address
        ");
    }
}
