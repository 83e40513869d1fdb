//! Networks that span machines: a tunnel as one more port of the network's bridge.
//!
//! The bridge has the network's gateway addresses on every machine; the tunnel carries no question
//! for link addresses, so each container finds its own machine's. Whom the tunnel leads to is told
//! by the cluster and never learnt from packets.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use super::secure::{Machines, change_encrypted};
use super::{Core, Kind, bridge, refused, refused_batch};
use crate::dns::Directory;
use crate::error::Error;
use crate::firewall::Machine;
use crate::model::{MacAddress, Network, Overlay, Peer, VirtualService};
use crate::netlink::{Batch, Refusal, Rtnl};
use crate::secure::{self, NodeKey};
use crate::settings::BridgeSettings;

/// What VXLAN puts around a frame: Ethernet, IP, UDP and its own header.
const AROUND_IPV4: u32 = 14 + 20 + 8 + 8;
const AROUND_IPV6: u32 = 14 + 40 + 8 + 8;
/// Requests that are sent in one go; the kernel's default buffer takes far more.
const BATCH: usize = 512;

/// The way to other machines.
pub(super) struct Tunnel {
    index: u32,
    /// Of the bridge that it is a port of.
    bridge: u32,
    /// All containers that the cluster told of, by their ids.
    pub(super) peers: HashMap<String, Peer>,
    pub(super) services: HashMap<String, VirtualService>,
    /// The ids of the peers behind each service that take new connections.
    pub(super) serving: HashMap<String, BTreeSet<String>>,
    /// What the kernel was told.
    told: Told,
}

/// What a call changes.
#[derive(Debug, Default)]
struct Changes {
    steps: Vec<Step>,
    /// Services whose members are others now.
    unbalanced: BTreeSet<String>,
    machines: Machines,
}

/// What the kernel knows of a tunnel's far side.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Machines are reached by their inner addresses only.
    encrypted: bool,
    /// Behind which machine a link address lies.
    forwards: BTreeMap<MacAddress, IpAddr>,
    neighbours: BTreeMap<IpAddr, MacAddress>,
    /// Of the machine itself, on the routing mesh's network: behind which machine's link address a container is.
    hosts: BTreeMap<IpAddr, MacAddress>,
}

/// One request to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Forward(MacAddress, IpAddr),
    NoForward(MacAddress, IpAddr),
    Neighbour(IpAddr, MacAddress),
    NoNeighbour(IpAddr, MacAddress),
    Host(IpAddr, MacAddress),
    NoHost(IpAddr, MacAddress),
}

/// A service has names and addresses as a container has.
fn as_peer(service: &VirtualService) -> Peer {
    Peer {
        id: format!("service {}", service.id),
        node: None,
        key: None,
        mac: None,
        addresses: service.addresses.clone(),
        names: service.names.clone(),
        service: None,
        via: None,
        serving: true,
    }
}

impl Tunnel {
    /// Makes it a port of another bridge.
    pub(super) fn move_to(&mut self, rtnl: &mut Rtnl, network: &Network, bridge: u32) -> Result<(), Error> {
        let name = link_name(network);
        let mut batch = Batch::default();
        batch.set_master(&name, bridge);
        batch.set_up(&name);
        let action = format!("set up the tunnel {name} of network {}", network.spec.name);
        rtnl.send(batch).map_err(refused_batch(action))?;
        self.bridge = bridge;
        Ok(())
    }

    fn announce(&mut self, network: &Network, directory: &Directory, peer: Peer, changes: &mut Changes) {
        if peer.node.is_some() {
            directory.learn(&network.id, &network.spec.name, &peer);
            directory.set_healthy(&peer.id, peer.serving);
        }
        if let Some(machine) = self.encrypted_machine(&peer) {
            changes.machines.come.push(machine);
        }
        self.told.come(&peer, &mut changes.steps);
        if let Some(service) = peer.service.as_ref().filter(|_| peer.serving) {
            self.serving.entry(service.clone()).or_default().insert(peer.id.clone());
            changes.unbalanced.insert(service.clone());
        }
        self.peers.insert(peer.id.clone(), peer);
    }

    fn withdraw(&mut self, network: &Network, directory: &Directory, peer: &Peer, changes: &mut Changes) {
        if peer.node.is_some() {
            directory.forget(&network.id, peer);
            directory.set_healthy(&peer.id, true);
        }
        changes.machines.gone.extend(self.encrypted_machine(peer).map(|(key, _)| key));
        self.told.go(peer, &mut changes.steps);
        if let Some(service) = &peer.service
            && let Some(serving) = self.serving.get_mut(service)
            && serving.remove(&peer.id)
        {
            if serving.is_empty() {
                self.serving.remove(service);
            }
            changes.unbalanced.insert(service.clone());
        }
    }

    /// Through which machine's key a peer is reached, on an encrypted network.
    fn encrypted_machine(&self, peer: &Peer) -> Option<(NodeKey, IpAddr)> {
        peer.key.zip(peer.node).filter(|_| self.told.encrypted)
    }

    /// The keys of the machines of all peers, once for each peer.
    pub(super) fn keys(&self) -> Vec<NodeKey> {
        self.peers.values().filter_map(|peer| self.encrypted_machine(peer)).map(|(key, _)| key).collect()
    }
}

/// Another machine's own place on the routing mesh's network, when that is what the peer is.
fn machine(peer: &Peer) -> Option<Machine> {
    let address = peer.via.filter(|via| peer.addresses.contains(via))?;
    let address6 = peer.addresses.iter().find_map(|address| match address {
        IpAddr::V6(v6) => Some(*v6),
        IpAddr::V4(_) => None,
    });
    Some(Machine { address, address6, node: peer.node? })
}

fn mac_of(peer: &Peer) -> Option<MacAddress> {
    let first = || peer.addresses.iter().find(|a| a.is_ipv4()).or(peer.addresses.first());
    peer.mac.or_else(|| first().map(|a| MacAddress::standing_for(*a)))
}

impl Told {
    /// The address to which the peer's packets are sent. There is none for one without a key where all is encrypted.
    fn machine_of(&self, peer: &Peer) -> Option<IpAddr> {
        let node = peer.node?;
        if self.encrypted { peer.key.map(|key| key.inner().into()) } else { Some(node) }
    }

    fn come(&mut self, peer: &Peer, steps: &mut Vec<Step>) {
        let Some((mac, node)) = mac_of(peer).zip(self.machine_of(peer)) else { return };
        if self.forwards.insert(mac, node) != Some(node) {
            steps.push(Step::Forward(mac, node));
        }
        for address in &peer.addresses {
            if self.neighbours.insert(*address, mac) != Some(mac) {
                steps.push(Step::Neighbour(*address, mac));
            }
        }
        let Some(machine) = peer.via.map(MacAddress::standing_for) else { return };
        for address in &peer.addresses {
            if self.hosts.insert(*address, machine) != Some(machine) {
                steps.push(Step::Host(*address, machine));
            }
        }
    }

    /// Only what is still the peer's own: its address may be another's meanwhile.
    fn go(&mut self, peer: &Peer, steps: &mut Vec<Step>) {
        let Some((mac, node)) = mac_of(peer).zip(self.machine_of(peer)) else { return };
        for address in &peer.addresses {
            if self.neighbours.get(address) == Some(&mac) {
                self.neighbours.remove(address);
                steps.push(Step::NoNeighbour(*address, mac));
            }
        }
        if let Some(machine) = peer.via.map(MacAddress::standing_for) {
            for address in peer.addresses.iter().filter(|address| self.hosts.get(*address) == Some(&machine)) {
                steps.push(Step::NoHost(*address, machine));
            }
            self.hosts.retain(|address, _| !peer.addresses.contains(address));
        }
        if self.forwards.get(&mac) == Some(&node) {
            self.forwards.remove(&mac);
            steps.push(Step::NoForward(mac, node));
        }
    }
}

fn link_name(network: &Network) -> String {
    format!("hsv-{}", network.id.get(..11).unwrap_or(&network.id))
}

impl Core {
    /// Leaves room in each packet for what the tunnel puts around it.
    pub(super) fn fit_tunnel(&mut self, network: &Network, settings: &mut BridgeSettings) -> Result<(), Error> {
        let Some(overlay) = &network.overlay else { return Ok(()) };
        let outer = self.outer_mtu(network, overlay)?;
        let around = if settings.encrypted {
            AROUND_IPV6 + secure::around(overlay.local)
        } else if overlay.local.is_ipv6() {
            AROUND_IPV6
        } else {
            AROUND_IPV4
        };
        // A person who names an MTU may know of a path that is narrower than the first link.
        if !network.spec.options.contains_key("com.docker.network.driver.mtu") {
            settings.mtu = Some(settings.mtu.unwrap_or(outer).min(outer.saturating_sub(around)));
        }
        Ok(())
    }

    /// What one packet carries on the link by which the machine reaches others.
    pub(super) fn outer_mtu(&mut self, network: &Network, overlay: &Overlay) -> Result<u32, Error> {
        let action = || format!("look up the interface with address {}", overlay.local);
        let addresses = self.rtnl.addresses().map_err(refused(action()))?;
        let Some((index, ..)) = addresses.into_iter().find(|(_, address, _)| *address == overlay.local) else {
            return Err(Error::Overlay {
                network: network.spec.name.clone(),
                reason: format!("no interface of this machine has the address {} of its data path", overlay.local),
            });
        };
        let links = self.rtnl.links().map_err(refused(action()))?;
        Ok(links.iter().find(|l| l.index == index).map_or(1500, |l| l.mtu.min(65535)))
    }

    /// Makes the tunnel, or takes over the one that is there with all that the kernel knows of it.
    pub(super) fn ensure_tunnel(
        &mut self,
        network: &Network,
        overlay: &Overlay,
        bridge: u32,
        settings: &BridgeSettings,
    ) -> Result<Tunnel, Error> {
        let name = link_name(network);
        let action = || format!("set up the tunnel {name} of network {}", network.spec.name);
        let mut told = Told { encrypted: settings.encrypted, ..Told::default() };
        if settings.encrypted {
            self.ensure_encrypted_link(network, overlay, &name, settings)?;
        }
        if overlay.mesh {
            told.hosts = self.rtnl.neighbours(bridge).map_err(refused(action()))?.into_iter().collect();
        }
        let index = if let Some(link) = self.rtnl.link(&name).map_err(refused(action()))? {
            told.forwards = self.rtnl.forwards(link.index).map_err(refused(action()))?.into_iter().collect();
            told.neighbours = self.rtnl.neighbours(link.index).map_err(refused(action()))?.into_iter().collect();
            link.index
        } else {
            let mut batch = Batch::default();
            batch.add_tunnel(&name, overlay, settings.mtu, None);
            self.rtnl.send(batch).map_err(refused_batch(action()))?;
            let made = self.rtnl.link(&name).map_err(refused(action()))?;
            made.ok_or_else(|| Error::Interface { name: name.clone(), reason: "it vanished".into() })?.index
        };
        let mut batch = Batch::default();
        batch.set_alias(&name, &bridge::label(&self.options.instance, &network.id));
        batch.no_automatic_ipv6(&name);
        batch.set_master(&name, bridge);
        batch.set_up(&name);
        self.rtnl.send(batch).map_err(refused_batch(action()))?;
        let (services, serving) = (HashMap::new(), HashMap::new());
        Ok(Tunnel { index, bridge, peers: HashMap::new(), services, serving, told })
    }

    pub(super) fn remove_tunnel(&mut self, network: &Network) -> Result<(), Error> {
        let name = link_name(network);
        let action = || format!("remove the tunnel {name} of network {}", network.spec.name);
        if self.rtnl.link(&name).map_err(refused(action()))?.is_some() {
            let mut batch = Batch::default();
            batch.delete_link(&name);
            self.rtnl.send(batch).map_err(refused_batch(action()))?;
        }
        self.drop_unused_secure()
    }

    pub(crate) fn change_peers(&mut self, network: &str, come: Vec<Peer>, gone: &[String]) -> Result<(), Error> {
        let network = self.find(network)?.network.clone();
        let Self { networks, rtnl, directory, secure, .. } = self;
        let tunnel = tunnel(networks.get_mut(&network.id).map(|n| &mut n.kind), &network)?;
        let mut changes = Changes::default();
        let (mut machines, mut lost) = (Vec::new(), Vec::new());
        for id in gone {
            if let Some(peer) = tunnel.peers.remove(id) {
                lost.extend(machine(&peer));
                tunnel.withdraw(&network, directory, &peer, &mut changes);
            }
        }
        for peer in come {
            if tunnel.peers.get(&peer.id) == Some(&peer) {
                continue;
            }
            machines.extend(machine(&peer));
            if let Some(before) = tunnel.peers.remove(&peer.id) {
                lost.extend(machine(&before).filter(|before| machine(&peer) != Some(*before)));
                tunnel.withdraw(&network, directory, &before, &mut changes);
            }
            tunnel.announce(&network, directory, peer, &mut changes);
        }
        // Whom packets are encrypted for is told before there are any.
        let met = secure.as_mut().map_or(Ok(()), |secure| change_encrypted(secure, &network, &changes.machines));
        let told = tell(rtnl, tunnel, &changes.steps)
            .map_err(refused(format!("change the far side of network {}", network.spec.name)));
        let told = met.and(told);
        let told = told.and(self.change_machines(&network, &machines, &lost));
        told.and(self.balance(&network.id, &changes.unbalanced))
    }

    pub(crate) fn replace_peers(&mut self, name: &str, all: Vec<Peer>) -> Result<(), Error> {
        let network = self.find(name)?.network.clone();
        let tunnel = tunnel(self.networks.get_mut(&network.id).map(|n| &mut n.kind), &network)?;
        let ids: HashSet<&str> = all.iter().map(|peer| peer.id.as_str()).collect();
        let gone: Vec<String> = tunnel.peers.keys().filter(|id| !ids.contains(id.as_str())).cloned().collect();
        self.change_peers(&network.id, all, &gone)?;
        if network.overlay.is_some_and(|overlay| overlay.mesh) {
            self.sweep_machines()?;
        }
        self.told_encrypted(&network)?;
        self.sweep(&network)
    }

    pub(crate) fn change_services(
        &mut self,
        network: &str,
        come: Vec<VirtualService>,
        gone: &[String],
    ) -> Result<(), Error> {
        let network = self.find(network)?.network.clone();
        let Self { networks, directory, .. } = self;
        let tunnel = tunnel(networks.get_mut(&network.id).map(|n| &mut n.kind), &network)?;
        let mut unbalanced = BTreeSet::new();
        let (mut withdrawn, mut closed) = (Vec::new(), Vec::new());
        for id in gone {
            if let Some(service) = tunnel.services.remove(id) {
                directory.forget(&network.id, &as_peer(&service));
                closed.extend(service.ports.iter().map(|port| (port.protocol, port.published)));
                withdrawn.extend(service.addresses);
            }
        }
        for service in come {
            if tunnel.services.get(&service.id) == Some(&service) {
                continue;
            }
            if let Some(before) = tunnel.services.remove(&service.id) {
                directory.forget(&network.id, &as_peer(&before));
                let old = before.ports.iter().map(|port| (port.protocol, port.published));
                closed.extend(old.filter(|key| !service.ports.iter().any(|p| (p.protocol, p.published) == *key)));
                withdrawn.extend(before.addresses.into_iter().filter(|a| !service.addresses.contains(a)));
            }
            directory.learn(&network.id, &network.spec.name, &as_peer(&service));
            unbalanced.insert(service.id.clone());
            tunnel.services.insert(service.id.clone(), service);
        }
        let gone = self.unbalance(&network.id, &withdrawn);
        let gone = gone.and(if closed.is_empty() { Ok(()) } else { self.change_mesh_ports(Vec::new(), &closed) });
        gone.and(self.balance(&network.id, &unbalanced))
    }

    pub(crate) fn replace_services(&mut self, name: &str, all: Vec<VirtualService>) -> Result<(), Error> {
        let network = self.find(name)?.network.clone();
        let tunnel = tunnel(self.networks.get_mut(&network.id).map(|n| &mut n.kind), &network)?;
        let ids: HashSet<&str> = all.iter().map(|service| service.id.as_str()).collect();
        let gone: Vec<String> = tunnel.services.keys().filter(|id| !ids.contains(id.as_str())).cloned().collect();
        self.change_services(&network.id, all, &gone)
    }

    /// What the kernel knows from an earlier daemon, and nobody says any more.
    fn sweep(&mut self, network: &Network) -> Result<(), Error> {
        let Self { networks, rtnl, .. } = self;
        let tunnel = tunnel(networks.get_mut(&network.id).map(|n| &mut n.kind), network)?;
        let mut wanted = Told { encrypted: tunnel.told.encrypted, ..Told::default() };
        tunnel.peers.values().for_each(|peer| wanted.come(peer, &mut Vec::new()));
        let stale = tunnel.told.neighbours.iter().filter(|(a, _)| !wanted.neighbours.contains_key(a));
        let mut steps: Vec<Step> = stale.map(|(a, mac)| Step::NoNeighbour(*a, *mac)).collect();
        let stale = tunnel.told.forwards.iter().filter(|(mac, _)| !wanted.forwards.contains_key(mac));
        steps.extend(stale.map(|(mac, node)| Step::NoForward(*mac, *node)));
        let stale = tunnel.told.hosts.iter().filter(|(a, _)| !wanted.hosts.contains_key(a));
        steps.extend(stale.map(|(a, mac)| Step::NoHost(*a, *mac)));
        tunnel.told = wanted;
        tell(rtnl, tunnel, &steps).map_err(refused(format!("clear the far side of network {}", network.spec.name)))
    }
}

pub(super) fn tunnel<'a>(kind: Option<&'a mut Kind>, network: &Network) -> Result<&'a mut Tunnel, Error> {
    let tunnel = match kind {
        Some(Kind::Bridge(bridge)) => bridge.tunnel.as_mut(),
        _ => None,
    };
    tunnel.ok_or_else(|| Error::Overlay {
        network: network.spec.name.clone(),
        reason: "it was made for this machine alone".into(),
    })
}

/// Says all of it, whatever the kernel refuses of it; what is to go and is gone is no error.
fn tell(rtnl: &mut Rtnl, tunnel: &Tunnel, steps: &[Step]) -> Result<(), Refusal> {
    let (tunnel, bridge) = (tunnel.index, tunnel.bridge);
    let mut result = Ok(());
    for steps in steps.chunks(BATCH) {
        let mut batch = Batch::default();
        for step in steps {
            match *step {
                Step::Forward(mac, node) => batch.set_forward(tunnel, mac, node),
                Step::NoForward(mac, node) => batch.delete_forward(tunnel, mac, node),
                Step::Neighbour(address, mac) => batch.set_neighbour(tunnel, address, mac),
                Step::NoNeighbour(address, mac) => batch.delete_neighbour(tunnel, address, mac),
                Step::Host(address, mac) => batch.set_neighbour(bridge, address, mac),
                Step::NoHost(address, mac) => batch.delete_neighbour(bridge, address, mac),
            }
        }
        if let Err((_, refusal)) = rtnl.send(batch)
            && refusal.errno != nix::errno::Errno::ENOENT
        {
            result = result.and(Err(refusal));
        }
    }
    result
}
