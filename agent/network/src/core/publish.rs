//! Ports of containers become ports of the host.

use nix::errno::Errno;

use super::{Core, Kind, refused};
use crate::error::Error;
use crate::firewall::{Connections, Firewall, Forward};
use crate::model::{PortRequest, Protocol, PublishedPort};
use crate::netlink::Refusal;
use crate::ports::Target;
use crate::store::Record;

impl Core {
    /// Publishes ports, all or none.
    pub(super) fn publish_ports(
        &mut self,
        container: &str,
        requests: &[PortRequest],
    ) -> Result<Vec<PublishedPort>, Error> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let held = self.containers.get(container).ok_or_else(|| Error::NoSandbox(container.to_owned()))?;
        let target = self.target(&held.record);
        let ports = self.ports.take(container, requests, &target).map_err(|error| self.with_names(error))?;
        let forwards = forwards(&ports, &target);
        if let Err(refusal) = self.change_firewall(|f| f.add_forwards(&forwards)) {
            self.ports.release(container, &ports);
            return Err(refused(format!("publish ports of container {container}"))(refusal));
        }
        self.forget_connections(&ports);
        let held = self.containers.get_mut(container).expect("it was found above");
        held.record.ports.extend(ports.iter().cloned());
        Ok(ports)
    }

    /// Leads published ports to another network's addresses when the one they led to has changed.
    pub(super) fn repoint(&mut self, container: &str, before: Option<&Target>) -> Result<(), Error> {
        let (Some(held), Some(before)) = (self.containers.get(container), before) else { return Ok(()) };
        let after = self.target(&held.record);
        let (old, new) = (forwards(&held.record.ports, before), forwards(&held.record.ports, &after));
        self.ports.redirect(container, &held.record.ports, &after);
        if old == new {
            return Ok(());
        }
        self.firewall.move_forwards(&old, &new).map_err(refused(format!("redirect ports of container {container}")))
    }

    /// Takes all of a container's ports back.
    pub(super) fn unpublish_all(&mut self, container: &str) -> Result<(), Error> {
        let Some(held) = self.containers.get_mut(container) else { return Ok(()) };
        let ports = std::mem::take(&mut held.record.ports);
        if ports.is_empty() {
            return Ok(());
        }
        let target = self.containers.get(container).map(|c| self.target(&c.record)).unwrap_or_default();
        self.ports.release(container, &ports);
        let forwards = forwards(&ports, &target);
        self.change_firewall(|f| f.remove_forwards(&forwards))
            .map_err(refused(format!("withdraw ports of container {container}")))?;
        self.forget_connections(&ports);
        Ok(())
    }

    /// Datagrams to these ports find their way anew. Without that, old peers are lost for a while, which
    /// is no reason to refuse a start.
    pub(super) fn forget_connections(&mut self, ports: &[PublishedPort]) {
        let udp: Vec<u16> = ports.iter().filter(|p| p.protocol == Protocol::Udp).map(|p| p.host_port).collect();
        if udp.is_empty() {
            return;
        }
        let forgotten = match &mut self.connections {
            Some(connections) => connections.forget_udp(&udp).map_err(std::io::Error::from),
            None => {
                Connections::open().and_then(|connections| Ok(self.connections.insert(connections).forget_udp(&udp)?))
            }
        };
        if let Err(error) = forgotten {
            tracing::warn!(%error, ?udp, "old connections to UDP ports could not be forgotten");
        }
    }

    /// Changes the firewall's table. If somebody has emptied the host's ruleset meanwhile, all of it is
    /// written again first.
    pub(super) fn change_firewall(
        &mut self,
        change: impl Fn(&mut Firewall) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        match change(&mut self.firewall) {
            Err(refusal) if refusal.errno == Errno::ENOENT && !self.firewall.exists()? => {
                tracing::warn!("the firewall's table was removed by somebody; it is written again");
                self.replace_firewall()?;
                match change(&mut self.firewall) {
                    // What was to go is not in the new table.
                    Err(again) if again.errno == Errno::ENOENT => Ok(()),
                    result => result,
                }
            }
            result => result,
        }
    }

    /// Where the ports of a container lead: to its addresses on the network that leads out.
    pub(super) fn target(&self, record: &Record) -> Target {
        let mut target = Target::default();
        for v6 in [false, true] {
            // The host itself does not reach what lies on its own wire.
            let reached = record.endpoints.iter().filter(|e| e.host_interface.is_some());
            let Some(endpoint) = super::route::leading_out(reached, v6) else { continue };
            if v6 {
                target.ipv6 = endpoint.ipv6.map(|(a, _)| a);
            } else {
                target.ipv4 = endpoint.ipv4.map(|(a, _)| a);
                if let Some(Kind::Bridge(bridge)) = self.networks.get(&endpoint.network).map(|n| &n.kind) {
                    target.host_ip = bridge.settings.host_ip;
                }
            }
        }
        target
    }
}

pub(super) fn forwards(ports: &[PublishedPort], target: &Target) -> Vec<Forward> {
    ports.iter().filter_map(|p| Some(Forward::new(p, target.for_host(p.host_ip)?))).collect()
}
