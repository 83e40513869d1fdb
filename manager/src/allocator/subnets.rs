//! Which identifier and which subnets a network that spans nodes gets.

use std::{collections::BTreeSet, net::IpAddr};

use hoist_proto::spec::{ClusterNetwork, IpamPool, NetworkAllocation, NetworkSpec};
use hoist_store::Tables;
use ipnet::{IpNet, Ipv6Net};

/// As Docker's: those below are left to people.
const FIRST_VNI: u32 = 4096;
const LAST_VNI: u32 = (1 << 24) - 1;
const VXLAN_LIST: &str = "com.docker.network.driver.overlay.vxlanid_list";

/// Decides all that is open of a network. The error is for people.
pub(super) fn allocate(tables: &Tables, network: &ClusterNetwork) -> Result<NetworkAllocation, String> {
    let cluster = tables.cluster().ok_or("there is no cluster")?;
    let vni = identifier(tables, network)?;
    let pools = plan(tables, &network.spec, Some(network), vni)?;
    Ok(NetworkAllocation { vni, port: cluster.spec.data_port, pools })
}

fn identifier(tables: &Tables, network: &ClusterNetwork) -> Result<u32, String> {
    let others = tables.networks().iter().filter(|other| other.id != network.id);
    let used: BTreeSet<u32> = others.filter_map(|other| other.allocation.as_ref()).map(|a| a.vni).collect();
    if let Some(list) = network.spec.options.get(VXLAN_LIST) {
        let first = list.split(',').next().unwrap_or_default().trim();
        let vni = first.parse().ok().filter(|vni| (1..=LAST_VNI).contains(vni));
        let vni = vni.ok_or_else(|| format!("{VXLAN_LIST}={list}: {first:?} is not between 1 and {LAST_VNI}"))?;
        return if used.contains(&vni) { Err(format!("VXLAN identifier {vni} is another network's")) } else { Ok(vni) };
    }
    (FIRST_VNI..=LAST_VNI).find(|vni| !used.contains(vni)).ok_or_else(|| "no VXLAN identifier is left".to_owned())
}

/// The subnets of a network with all that is open filled in; `of` is the network itself when it has a record.
///
/// # Errors
/// Says what of the wish cannot be, for people.
pub(crate) fn plan(
    tables: &Tables,
    spec: &NetworkSpec,
    of: Option<&ClusterNetwork>,
    vni: u32,
) -> Result<Vec<IpamPool>, String> {
    let cluster = tables.cluster().ok_or("there is no cluster")?;
    if !spec.enable_ipv4 && !spec.enable_ipv6 {
        return Err("IPv4 and IPv6 are both disabled".into());
    }
    let taken = taken(tables, of);
    let mut pools = Vec::new();
    for v6 in [false, true] {
        let enabled = if v6 { spec.enable_ipv6 } else { spec.enable_ipv4 };
        let family = if v6 { "IPv6" } else { "IPv4" };
        let given = given(spec, v6)?;
        let pool = match (enabled, given) {
            (false, Some((_, subnet))) => {
                return Err(format!("subnet {subnet} is given, but {family} is not enabled"));
            }
            (false, None) => continue,
            (true, Some((pool, subnet))) => {
                if let Some((other, name)) = taken.iter().find(|(other, _)| overlap(subnet, *other)) {
                    return Err(format!("subnet {subnet} overlaps with {other} of {name}"));
                }
                complete(pool.clone(), subnet)?
            }
            (true, None) => {
                let mesh = of.is_some_and(|network| network.spec.ingress);
                let bases = cluster.spec.address_pools.iter().filter_map(|text| text.parse::<IpNet>().ok());
                let mut bases: Vec<IpNet> = bases.filter(|base| matches!(base, IpNet::V6(_)) == v6).collect();
                let mut size = cluster.spec.subnet_size;
                if v6 {
                    if bases.is_empty() {
                        bases.push(IpNet::V6(own_range(cluster.id.as_str(), vni)));
                    }
                    size = 64;
                }
                if mesh && !v6 {
                    // Every node and every task with a published port is on it: as wide as can be, far from the rest.
                    size = size.min(16);
                }
                let parts = bases.iter().filter_map(|base| base.subnets(size.max(base.prefix_len())).ok()).flatten();
                let free = |subnet: &IpNet| !taken.iter().any(|(other, _)| overlap(*subnet, *other));
                let subnet = match mesh {
                    true => parts.take(1 << 16).filter(free).last(),
                    false => parts.take(1 << 20).find(free),
                };
                let subnet =
                    subnet.ok_or_else(|| format!("the cluster's address pools have no {family} subnet left"))?;
                complete(IpamPool::default(), subnet)?
            }
        };
        pools.push(pool);
    }
    Ok(pools)
}

/// What a new subnet must stay clear of: those of other networks, and the nodes' own addresses.
fn taken(tables: &Tables, of: Option<&ClusterNetwork>) -> Vec<(IpNet, String)> {
    let others = tables.networks().iter().filter(|other| of.is_none_or(|of| of.id != other.id));
    let mut all = Vec::new();
    for other in others {
        for pool in other.allocation.iter().flat_map(|allocation| &allocation.pools) {
            if let Some(subnet) = pool.subnet.as_deref().and_then(|text| text.parse().ok()) {
                all.push((subnet, format!("network {}", other.spec.name)));
            }
        }
    }
    for node in tables.nodes().iter() {
        if let Some(address) = node.data_path() {
            all.push((IpNet::from(address), format!("node {}", node.description.hostname)));
        }
    }
    all
}

fn overlap(a: IpNet, b: IpNet) -> bool {
    a.contains(&b) || b.contains(&a)
}

/// The range of RFC 4193 that a cluster's networks get their IPv6 subnets from.
fn own_range(cluster: &str, vni: u32) -> Ipv6Net {
    let digest = crate::hash::digest(&cluster);
    let global = u128::from_str_radix(digest.get(..10).unwrap_or("0"), 16).unwrap_or_default();
    let bits = 0xfd << 120 | global << 80 | u128::from(vni & 0xffff) << 64;
    Ipv6Net::new_assert(std::net::Ipv6Addr::from_bits(bits), 64)
}

fn given(spec: &NetworkSpec, v6: bool) -> Result<Option<(&IpamPool, IpNet)>, String> {
    let mut found = None;
    for pool in &spec.ipam.pools {
        let Some(text) = pool.subnet.as_deref() else {
            if *pool == IpamPool::default() {
                continue;
            }
            return Err("an address range, gateway or auxiliary address needs a subnet".into());
        };
        let subnet: IpNet = text.parse().map_err(|_| format!("subnet {text:?} is not ADDRESS/BITS"))?;
        if matches!(subnet, IpNet::V6(_)) == v6 && found.replace((pool, subnet.trunc())).is_some() {
            return Err("more than one subnet of a family is given".into());
        }
    }
    Ok(found)
}

fn complete(mut pool: IpamPool, subnet: IpNet) -> Result<IpamPool, String> {
    pool.subnet = Some(subnet.to_string());
    let mut range = subnet;
    if let Some(text) = &pool.ip_range {
        range = text.parse::<IpNet>().map_err(|_| format!("IP range {text:?} is not ADDRESS/BITS"))?.trunc();
        if !subnet.contains(&range) {
            return Err(format!("range {range} is not inside subnet {subnet}"));
        }
    }
    let taken = |address: &IpAddr| pool.aux_addresses.values().any(|other| other == address);
    match pool.gateway {
        Some(gateway) if !subnet.contains(&gateway) => {
            return Err(format!("gateway {gateway} is not inside subnet {subnet}"));
        }
        Some(_) => {}
        None => {
            let usable = |address: &IpAddr| *address != subnet.network() && *address != subnet.broadcast();
            let first = range.hosts().find(|address| usable(address) && !taken(address));
            pool.gateway = Some(first.ok_or_else(|| format!("no address of {range} is left for the gateway"))?);
        }
    }
    Ok(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_completed_or_refused() {
        let pool = |range: Option<&str>, gateway: Option<&str>| IpamPool {
            ip_range: range.map(str::to_owned),
            gateway: gateway.map(|text| text.parse().unwrap()),
            ..IpamPool::default()
        };
        let subnet = "10.5.0.0/16".parse().unwrap();
        let gateway = |made: Result<IpamPool, String>| made.unwrap().gateway.unwrap().to_string();
        assert_eq!(gateway(complete(pool(None, None), subnet)), "10.5.0.1");
        assert_eq!(gateway(complete(pool(Some("10.5.8.0/24"), None), subnet)), "10.5.8.1");
        assert_eq!(gateway(complete(pool(None, Some("10.5.9.9")), subnet)), "10.5.9.9");
        assert!(complete(pool(None, Some("10.6.0.1")), subnet).unwrap_err().contains("not inside"));
        assert!(complete(pool(Some("10.6.0.0/24"), None), subnet).unwrap_err().contains("not inside"));
    }
}
