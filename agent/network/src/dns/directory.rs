//! Who is called what, on which network.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::model::{Endpoint, Peer};
use crate::options::DnsOptions;

/// The names of all containers of a daemon.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(super) options: DnsOptions,
    state: RwLock<State>,
    rotation: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// By network id.
    zones: HashMap<String, Zone>,
    /// The ids of a container's networks.
    places: HashMap<String, Vec<String>>,
    unhealthy: HashSet<String>,
    /// By container: the network, a name of its own for somebody there, and the other's name.
    links: HashMap<String, Vec<Link>>,
}

#[derive(Debug)]
struct Link {
    network: String,
    /// In lower case, as is the next.
    alias: String,
    name: String,
}

#[derive(Debug, Default)]
struct Zone {
    network_name: String,
    /// In lower case.
    names: HashMap<String, Vec<Entry>>,
    /// The first name of each address's holder.
    addresses: HashMap<IpAddr, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    container: String,
    addresses: Vec<IpAddr>,
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It is nobody's here.
    Unknown,
    /// It is somebody's; there may be no address of the family in question.
    Known(Vec<IpAddr>),
}

impl Directory {
    pub(crate) fn new(options: DnsOptions) -> Self {
        Self { options, state: RwLock::default(), rotation: AtomicUsize::new(0) }
    }

    /// A container came to a network.
    pub(crate) fn join(&self, endpoint: &Endpoint) {
        let mut state = self.write();
        let zone = state.zones.entry(endpoint.network.clone()).or_default();
        zone.network_name.clone_from(&endpoint.network_name);
        let v4 = endpoint.ipv4.map(|(a, _)| IpAddr::V4(a));
        let v6 = endpoint.ipv6.map(|(a, _)| IpAddr::V6(a));
        let addresses: Vec<IpAddr> = v4.into_iter().chain(v6).collect();
        let entry = Entry { container: endpoint.container.clone(), addresses };
        for name in &endpoint.names {
            zone.names.entry(name.to_ascii_lowercase()).or_default().push(entry.clone());
        }
        if let Some(first) = endpoint.names.first() {
            zone.addresses.extend(entry.addresses.iter().map(|a| (*a, first.clone())));
        }
        let links = endpoint.request.links.iter().map(|(alias, name)| Link {
            network: endpoint.network.clone(),
            alias: alias.to_ascii_lowercase(),
            name: name.to_ascii_lowercase(),
        });
        if !endpoint.request.links.is_empty() {
            state.links.entry(endpoint.container.clone()).or_default().extend(links);
        }
        state.places.entry(endpoint.container.clone()).or_default().push(endpoint.network.clone());
    }

    /// A container left a network.
    pub(crate) fn leave(&self, endpoint: &Endpoint) {
        let mut state = self.write();
        let State { zones, places, unhealthy, links } = &mut *state;
        if let Some(zone) = zones.get_mut(&endpoint.network) {
            zone.names.retain(|_, entries| {
                entries.retain(|e| e.container != endpoint.container);
                !entries.is_empty()
            });
            if let Some((a, _)) = endpoint.ipv4 {
                zone.addresses.remove(&IpAddr::V4(a));
            }
            if let Some((a, _)) = endpoint.ipv6 {
                zone.addresses.remove(&IpAddr::V6(a));
            }
            if zone.names.is_empty() && zone.addresses.is_empty() {
                zones.remove(&endpoint.network);
            }
        }
        if let Some(own) = links.get_mut(&endpoint.container) {
            own.retain(|link| link.network != endpoint.network);
            if own.is_empty() {
                links.remove(&endpoint.container);
            }
        }
        if let Some(place) = places.get_mut(&endpoint.container) {
            place.retain(|n| *n != endpoint.network);
            if place.is_empty() {
                places.remove(&endpoint.container);
                unhealthy.remove(&endpoint.container);
            }
        }
    }

    /// A container of another machine came to a network.
    pub(crate) fn learn(&self, network: &str, network_name: &str, peer: &Peer) {
        let mut state = self.write();
        let zone = state.zones.entry(network.to_owned()).or_default();
        network_name.clone_into(&mut zone.network_name);
        let entry = Entry { container: peer.id.clone(), addresses: peer.addresses.clone() };
        for name in &peer.names {
            zone.names.entry(name.to_ascii_lowercase()).or_default().push(entry.clone());
        }
        if let Some(first) = peer.names.first() {
            zone.addresses.extend(peer.addresses.iter().map(|a| (*a, first.clone())));
        }
    }

    /// A container of another machine left a network.
    pub(crate) fn forget(&self, network: &str, peer: &Peer) {
        let mut state = self.write();
        let Some(zone) = state.zones.get_mut(network) else { return };
        for name in &peer.names {
            let name = name.to_ascii_lowercase();
            if let Some(entries) = zone.names.get_mut(&name) {
                entries.retain(|e| e.container != peer.id);
                if entries.is_empty() {
                    zone.names.remove(&name);
                }
            }
        }
        for address in &peer.addresses {
            zone.addresses.remove(address);
        }
    }

    /// A network was removed, with all who were on it elsewhere.
    pub(crate) fn forget_network(&self, network: &str) {
        self.write().zones.remove(network);
    }

    pub(crate) fn set_healthy(&self, container: &str, healthy: bool) {
        let mut state = self.write();
        if healthy {
            state.unhealthy.remove(container);
        } else {
            state.unhealthy.insert(container.to_owned());
        }
    }

    /// The addresses of a name, as `container` may see them: those of healthy holders if there are
    /// any, beginning with another one each time. `name` or `name.network`, without closing dot.
    pub(crate) fn lookup(&self, container: &str, name: &str, v6: bool) -> Lookup {
        let name = name.to_ascii_lowercase();
        let state = self.read();
        let zones = || state.places.get(container).into_iter().flatten().filter_map(|id| state.zones.get(id));
        // A name of its own for another goes before the names that all have.
        let links = state.links.get(container).into_iter().flatten().filter(|link| link.alias == name);
        let linked = links.filter_map(|link| state.zones.get(&link.network)?.names.get(&link.name));
        let mut entries: Vec<&Entry> = linked.flatten().collect();
        if entries.is_empty() {
            entries = zones().filter_map(|z| z.names.get(&name)).flatten().collect();
        }
        if entries.is_empty() {
            let qualified = |z: &Zone| {
                let (host, network) = (name.len().checked_sub(z.network_name.len() + 1)?, &z.network_name);
                let (host, rest) = (name.get(..host)?, name.get(host..)?);
                (rest.starts_with('.') && rest[1..].eq_ignore_ascii_case(network)).then(|| host.to_owned())
            };
            entries = zones().filter_map(|z| z.names.get(&qualified(z)?)).flatten().collect();
        }
        if entries.is_empty() {
            return Lookup::Unknown;
        }
        if entries.iter().any(|e| !state.unhealthy.contains(&e.container)) {
            entries.retain(|e| !state.unhealthy.contains(&e.container));
        }
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in entries.iter().flat_map(|e| &e.addresses).filter(|a| a.is_ipv6() == v6) {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        if addresses.len() > 1 {
            let by = self.rotation.fetch_add(1, Ordering::Relaxed) % addresses.len();
            addresses.rotate_left(by);
        }
        Lookup::Known(addresses)
    }

    /// The name of an address's holder, with the network's behind it, if `container` may see it.
    pub(crate) fn reverse(&self, container: &str, address: IpAddr) -> Option<String> {
        let state = self.read();
        let zones = state.places.get(container)?.iter().filter_map(|id| state.zones.get(id));
        zones.filter_map(|z| Some(format!("{}.{}", z.addresses.get(&address)?, z.network_name))).next()
    }

    // Nothing under these locks can panic half-way through a change.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConnectRequest;

    fn endpoint(container: &str, network: &str, names: &[&str], ipv4: &str) -> Endpoint {
        Endpoint {
            id: "e".into(),
            container: container.into(),
            network: network.into(),
            network_name: format!("{network}-name"),
            host_interface: None,
            interface: Some("eth0".into()),
            mac: None,
            ipv4: Some((ipv4.parse().unwrap(), 24)),
            ipv6: None,
            gateway4: None,
            gateway6: None,
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            request: ConnectRequest::default(),
        }
    }

    fn directory() -> Directory {
        let directory = Directory::new(DnsOptions::default());
        directory.join(&endpoint("c1", "front", &["p-web-1", "web"], "10.0.0.2"));
        directory.join(&endpoint("c2", "front", &["p-web-2", "web"], "10.0.0.3"));
        directory.join(&endpoint("c2", "back", &["p-web-2"], "10.0.1.3"));
        directory.join(&endpoint("c3", "back", &["DB"], "10.0.1.4"));
        directory
    }

    fn names(directory: &Directory, asker: &str, name: &str) -> String {
        match directory.lookup(asker, name, false) {
            Lookup::Unknown => "unknown".into(),
            Lookup::Known(mut addresses) => {
                addresses.sort();
                addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn only_shared_networks_are_seen() {
        let d = directory();
        assert_eq!(names(&d, "c1", "p-web-2"), "10.0.0.3");
        assert_eq!(names(&d, "c1", "db"), "unknown");
        assert_eq!(names(&d, "c2", "Db"), "10.0.1.4");
        assert_eq!(names(&d, "c3", "p-web-2"), "10.0.1.3");
        assert_eq!(names(&d, "c2", "p-web-2.back-name"), "10.0.1.3");
        assert_eq!(names(&d, "c2", "web.back-name"), "unknown");
        assert_eq!(names(&d, "nobody", "web"), "unknown");
        assert_eq!(d.reverse("c1", "10.0.0.3".parse().unwrap()).unwrap(), "p-web-2.front-name");
        assert_eq!(d.reverse("c1", "10.0.1.4".parse().unwrap()), None);
    }

    #[test]
    fn a_link_is_a_name_that_one_alone_has() {
        let d = directory();
        let mut asker = endpoint("c4", "back", &["asker"], "10.0.1.5");
        asker.request.links = [("Database".to_owned(), "db".to_owned()), ("late".into(), "later".into())].into();
        d.join(&asker);
        assert_eq!(names(&d, "c4", "database"), "10.0.1.4");
        assert_eq!(names(&d, "c2", "database"), "unknown");
        assert_eq!(names(&d, "c4", "late"), "unknown");
        d.join(&endpoint("c5", "back", &["later"], "10.0.1.6"));
        assert_eq!(names(&d, "c4", "late"), "10.0.1.6");
        d.leave(&asker);
        assert_eq!(names(&d, "c4", "database"), "unknown");
    }

    #[test]
    fn a_shared_name_goes_round_and_leaves_out_the_unhealthy() {
        let d = directory();
        let first = |_| match d.lookup("c1", "web", false) {
            Lookup::Known(addresses) => addresses[0].to_string(),
            Lookup::Unknown => unreachable!(),
        };
        let firsts: HashSet<_> = (0..4).map(first).collect();
        assert_eq!(firsts.len(), 2);
        d.set_healthy("c2", false);
        assert_eq!(names(&d, "c1", "web"), "10.0.0.2");
        d.set_healthy("c1", false);
        assert_eq!(names(&d, "c1", "web"), "10.0.0.2 10.0.0.3");
        assert_eq!(d.lookup("c1", "web", true), Lookup::Known(Vec::new()));
    }

    #[test]
    fn who_leaves_is_forgotten() {
        let d = directory();
        d.leave(&endpoint("c2", "front", &["p-web-2", "web"], "10.0.0.3"));
        assert_eq!(names(&d, "c1", "web"), "10.0.0.2");
        assert_eq!(names(&d, "c1", "p-web-2"), "unknown");
        assert_eq!(names(&d, "c2", "web"), "unknown");
        assert_eq!(names(&d, "c2", "db"), "10.0.1.4");
    }
}
