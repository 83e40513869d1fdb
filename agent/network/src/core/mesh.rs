//! The routing mesh: this machine's published ports of the cluster's services, and the way back to other machines.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;

use super::{Core, Kind, refused, refused_batch, sysctl};
use crate::error::Error;
use crate::firewall::{Machine, MeshForward, mark};
use crate::model::{Network, PortRequest, Protocol, PublishedPort};
use crate::netlink::{Batch, MAIN, Matches, RoutingRule};
use crate::ports::{Ports, Target, has_ipv6};

/// Before the kernel's main table (32766), behind what people set.
const TO_TASKS: u32 = 32_600;
const BACK: u32 = 32_601;
/// In a container's own namespace nobody else sets rules.
const PRECISELY: u32 = 100;
const OVER_MESH: u32 = 101;
/// The container's table of routes over the mesh's network.
const TABLE: u32 = 100;
/// In whose name ports are held.
const HOLDER: &str = "the routing mesh";

/// What the mesh has on this machine.
#[derive(Debug, Default)]
pub(super) struct Mesh {
    forwards: HashMap<(Protocol, u16), MeshForward>,
    /// Ports that are held; one that another has is tried again with each change.
    held: HashMap<(Protocol, u16), Vec<PublishedPort>>,
    machines: Vec<Machine>,
}

/// Only for what comes in from the bridge: what a tunnel makes of an answer inherits its mark, and goes elsewhere.
fn back(v6: bool, mark: u32, bridge: Option<&str>) -> RoutingRule {
    RoutingRule { priority: BACK, table: mark, matches: Matches::Mark { v6, mark, link: bridge.map(str::to_owned) } }
}

/// The addresses by which a machine is reached over the mesh's network, one of each family that it has.
fn ways(machine: &Machine) -> impl Iterator<Item = IpAddr> {
    [Some(machine.address), machine.address6.map(IpAddr::V6)].into_iter().flatten()
}

/// Takes a port of the machine for the mesh, so that nobody else does and wonders why nobody calls.
///
/// What comes by IPv6 and is led to no task (a call to `::1`, or any where the mesh's network has IPv4 alone) is carried
/// to the same port by IPv4, as the machine's own call.
fn hold(ports: &mut Ports, forward: &MeshForward) -> Result<Vec<PublishedPort>, Error> {
    let ask = |host: IpAddr| PortRequest {
        host_ip: Some(host),
        host_ports: Some(forward.port.into()),
        container_ports: forward.port.into(),
        protocol: forward.protocol,
    };
    let target = Target { ipv4: Some(Ipv4Addr::UNSPECIFIED), ..Target::default() };
    let mut held = ports.take(HOLDER, &[ask(Ipv4Addr::UNSPECIFIED.into())], &target)?;
    if !has_ipv6() {
        return Ok(held);
    }
    let carried = Target { ipv4: Some(Ipv4Addr::LOCALHOST), ..Target::default() };
    let alone = Target { ipv6: Some(Ipv6Addr::UNSPECIFIED), ..Target::default() };
    let target = if ports.carries(forward.protocol) { carried } else { alone };
    match ports.take(HOLDER, &[ask(Ipv6Addr::UNSPECIFIED.into())], &target) {
        Ok(more) => {
            held.extend(more);
            Ok(held)
        }
        Err(error) => {
            ports.release(HOLDER, &held);
            Err(error)
        }
    }
}

impl Core {
    /// Prepares a bridge for packets that only pass through, to tasks of other machines and back.
    pub(super) fn open_mesh(&mut self, network: &Network, bridge: &str) -> Result<(), Error> {
        // Callers' addresses lie behind another link than the mesh's bridge; that is no forgery here.
        sysctl::set_if_present(&format!("net/ipv4/conf/{bridge}/rp_filter"), "0")?;
        sysctl::set_if_present(&format!("net/ipv4/conf/{bridge}/src_valid_mark"), "1")?;
        let subnets = network.spec.ipam.config.iter().filter_map(|c| c.subnet);
        for subnet in subnets {
            self.add_rule(&RoutingRule { priority: TO_TASKS, table: MAIN, matches: Matches::To(subnet) })?;
        }
        Ok(())
    }

    /// Takes back what [`open_mesh`](Self::open_mesh) and its machines have set; the bridge itself goes elsewhere.
    pub(super) fn close_mesh(&mut self, network: &Network) -> Result<(), Error> {
        let mut rules: Vec<RoutingRule> = Vec::new();
        for subnet in network.spec.ipam.config.iter().filter_map(|c| c.subnet) {
            rules.push(RoutingRule { priority: TO_TASKS, table: MAIN, matches: Matches::To(subnet) });
        }
        for v6 in [false, true] {
            let marks = self.rtnl.marked_rules(v6, BACK).map_err(refused("list routing rules"))?;
            rules.extend(marks.into_iter().map(|mark| back(v6, mark, None)));
        }
        let ports: Vec<_> = self.mesh.forwards.keys().copied().collect();
        let mut result = self.change_mesh_ports(Vec::new(), &ports);
        let machines = self.mesh_machines();
        let forgotten = self.change_firewall(|f| f.set_mesh_machines(&machines, false));
        result = result.and(forgotten.map_err(refused("remove the firewall rules of the routing mesh")));
        self.mesh.machines.clear();
        for rule in rules {
            result = result.and(self.delete_rule(&rule));
        }
        result
    }

    fn add_rule(&mut self, rule: &RoutingRule) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.add_rule(rule);
        match self.rtnl.send(batch) {
            Err((_, refusal)) if refusal.errno == Errno::EEXIST => Ok(()),
            other => other.map_err(refused_batch("add a routing rule of the routing mesh")),
        }
    }

    fn delete_rule(&mut self, rule: &RoutingRule) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.delete_rule(rule);
        match self.rtnl.send(batch) {
            Err((_, refusal)) if matches!(refusal.errno, Errno::ENOENT | Errno::ESRCH) => Ok(()),
            other => other.map_err(refused_batch("remove a routing rule of the routing mesh")),
        }
    }

    /// Answers to what these machines sent on go back through them.
    pub(super) fn change_machines(
        &mut self,
        network: &Network,
        come: &[Machine],
        gone: &[Machine],
    ) -> Result<(), Error> {
        let index = match self.networks.get(&network.id).map(|net| &net.kind) {
            Some(Kind::Bridge(bridge)) => bridge.index,
            _ => return Ok(()),
        };
        let action = || format!("set up the way back over network {}", network.spec.name);
        let mut result = Ok(());
        for machine in gone {
            let Some(mark) = mark(machine.address) else { continue };
            self.mesh.machines.retain(|other| other != machine);
            for way in ways(machine) {
                let mut batch = Batch::default();
                batch.delete_table_route(mark, index, way);
                // The route goes with the bridge too.
                let _ = self.rtnl.send(batch);
                result = result.and(self.delete_rule(&back(way.is_ipv6(), mark, None)));
            }
        }
        for machine in come {
            let Some(mark) = mark(machine.address) else { continue };
            for way in ways(machine) {
                let mut batch = Batch::default();
                batch.set_table_route(mark, index, way);
                let routed = self.rtnl.send(batch).map_err(refused_batch(action()));
                result = result.and(routed);
                result = result.and(self.add_rule(&back(way.is_ipv6(), mark, network.bridge.as_deref())));
            }
            if !self.mesh.machines.contains(machine) {
                self.mesh.machines.push(*machine);
            }
        }
        let told = self
            .change_firewall(|f| f.set_mesh_machines(gone, false))
            .and_then(|()| self.change_firewall(|f| f.set_mesh_machines(come, true)))
            .map_err(refused(action()));
        result.and(told)
    }

    /// Rules that an earlier daemon left for machines that nobody knows any more.
    pub(super) fn sweep_machines(&mut self) -> Result<(), Error> {
        let known: Vec<u32> = self.mesh.machines.iter().filter_map(|machine| mark(machine.address)).collect();
        let mut result = Ok(());
        for v6 in [false, true] {
            let marks = self.rtnl.marked_rules(v6, BACK).map_err(refused("list routing rules"))?;
            for mark in marks.into_iter().filter(|mark| !known.contains(mark)) {
                result = result.and(self.delete_rule(&back(v6, mark, None)));
            }
        }
        result
    }

    /// Where the cluster's ports lead. A port that somebody else on this machine has is left to them, and tried
    /// again with the next change.
    pub(super) fn change_mesh_ports(&mut self, set: Vec<MeshForward>, gone: &[(Protocol, u16)]) -> Result<(), Error> {
        for key in gone {
            if let Some(mut forward) = self.mesh.forwards.remove(key) {
                forward.backends.clear();
                self.change_firewall(|f| f.set_mesh_ports(std::slice::from_ref(&forward)))
                    .map_err(refused(format!("close port {}/{} of the cluster", key.1, key.0)))?;
            }
            if let Some(ports) = self.mesh.held.remove(key) {
                self.ports.release(HOLDER, &ports);
                self.forget_connections(&ports);
            }
        }
        let mut open: Vec<(Protocol, u16)> = set.iter().map(|forward| (forward.protocol, forward.port)).collect();
        for forward in set {
            self.mesh.forwards.insert((forward.protocol, forward.port), forward);
        }
        let waiting = self.mesh.forwards.keys().filter(|key| !self.mesh.held.contains_key(*key) && !open.contains(key));
        let waiting: Vec<_> = waiting.copied().collect();
        open.extend(waiting);
        let mut result = Ok(());
        for key in open {
            let Some(forward) = self.mesh.forwards.get(&key).cloned() else { continue };
            if let std::collections::hash_map::Entry::Vacant(vacant) = self.mesh.held.entry(key) {
                match hold(&mut self.ports, &forward) {
                    Ok(ports) => drop(vacant.insert(ports)),
                    Err(error) => {
                        tracing::error!(%error, "a port of the cluster cannot be published on this machine");
                        continue;
                    }
                }
            }
            let set = self.change_firewall(|f| f.set_mesh_ports(std::slice::from_ref(&forward)));
            result = result.and(set.map_err(refused(format!("publish port {}/{} of the cluster", key.1, key.0))));
            if forward.protocol == Protocol::Udp
                && let Some(ports) = self.mesh.held.get(&key).cloned()
            {
                self.forget_connections(&ports);
            }
        }
        result
    }

    /// All that the firewall's table has of the mesh, to be written anew.
    pub(super) fn mesh_forwards(&self) -> Vec<MeshForward> {
        let held = self.mesh.forwards.iter().filter(|(key, _)| self.mesh.held.contains_key(*key));
        held.map(|(_, forward)| forward.clone()).collect()
    }

    pub(super) fn mesh_machines(&self) -> Vec<Machine> {
        self.mesh.machines.clone()
    }

    pub(super) fn mesh_bridges(&self) -> Vec<String> {
        let meshes = self.networks.values().filter(|net| net.network.overlay.is_some_and(|overlay| overlay.mesh));
        meshes.filter_map(|net| net.network.bridge.clone()).collect()
    }

    /// What comes to a container over the mesh is answered over the mesh, whichever network leads out.
    pub(super) fn answer_over_mesh(&mut self, container: &str, network: &Network) -> Result<(), Error> {
        if !network.overlay.is_some_and(|overlay| overlay.mesh) {
            return Ok(());
        }
        let Some(held) = self.containers.get_mut(container) else { return Ok(()) };
        let Some(endpoint) = held.record.endpoints.iter().find(|e| e.network == network.id) else { return Ok(()) };
        let Some(live) = &mut held.live else { return Ok(()) };
        let Some(index) = endpoint.interface.as_ref().and_then(|name| live.links.get(name)) else { return Ok(()) };
        let of4 = endpoint.ipv4.zip(endpoint.gateway4).map(|((own, _), gateway)| (own.into(), gateway.into()));
        let of6 = endpoint.ipv6.zip(endpoint.gateway6).map(|((own, _), gateway)| (own.into(), gateway.into()));
        let mut batch = Batch::default();
        for (address, gateway) in [of4, of6].into_iter().flatten() {
            batch.add_rule(&RoutingRule { priority: PRECISELY, table: MAIN, matches: Matches::FromPrecisely(address) });
            batch.add_rule(&RoutingRule { priority: OVER_MESH, table: TABLE, matches: Matches::From(address) });
            batch.set_table_route(TABLE, *index, gateway);
        }
        live.rtnl.send(batch).map_err(refused_batch(format!("set routes over the mesh in container {container}")))
    }
}
