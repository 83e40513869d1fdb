//! Virtual addresses: in each container's own namespace, so that whoever is called sees the caller's address.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsFd;

use super::{Core, Kind, Live, overlay::Tunnel, refused};
use crate::error::Error;
use crate::firewall::{Balancer, MeshForward, Virtual};
use crate::netlink::Refusal;
use crate::netns;

impl Core {
    /// Leads the virtual addresses of these services where they lead now, in all containers of the network.
    pub(super) fn balance(&mut self, network: &str, services: &BTreeSet<String>) -> Result<(), Error> {
        let Some(tunnel) = self.tunnel_of(network) else { return Ok(()) };
        let virtuals: Vec<Virtual> = services.iter().flat_map(|id| virtuals(tunnel, id)).collect();
        let ports: Vec<MeshForward> = services.iter().flat_map(|id| mesh_forwards(tunnel, id)).collect();
        let published = if ports.is_empty() { Ok(()) } else { self.change_mesh_ports(ports, &[]) };
        published.and(self.everywhere(network, |balancer| balancer.set(&virtuals), virtuals.is_empty()))
    }

    /// These addresses lead nowhere any more.
    pub(super) fn unbalance(&mut self, network: &str, addresses: &[IpAddr]) -> Result<(), Error> {
        self.everywhere(network, |balancer| balancer.remove(addresses), addresses.is_empty())
    }

    /// All virtual addresses of a network, for a container that has come to it.
    pub(super) fn balance_all(&mut self, container: &str, network: &str) -> Result<(), Error> {
        let Some(tunnel) = self.tunnel_of(network) else { return Ok(()) };
        let virtuals: Vec<Virtual> = tunnel.services.keys().flat_map(|id| virtuals(tunnel, id)).collect();
        if virtuals.is_empty() {
            return Ok(());
        }
        let Some(live) = self.containers.get_mut(container).and_then(|held| held.live.as_mut()) else { return Ok(()) };
        change(live, |balancer| balancer.set(&virtuals))
            .map_err(refused(format!("balance virtual addresses in container {container}")))
    }

    fn tunnel_of(&self, network: &str) -> Option<&Tunnel> {
        match self.networks.get(network).map(|net| &net.kind) {
            Some(Kind::Bridge(bridge)) => bridge.tunnel.as_ref(),
            _ => None,
        }
    }

    /// Goes on when one container refuses, and reports the first that did.
    fn everywhere(
        &mut self,
        network: &str,
        each: impl Fn(&mut Balancer) -> Result<(), Refusal>,
        nothing: bool,
    ) -> Result<(), Error> {
        if nothing {
            return Ok(());
        }
        let mut result = Ok(());
        for (container, held) in &mut self.containers {
            if !held.record.endpoints.iter().any(|endpoint| endpoint.network == network) {
                continue;
            }
            let Some(live) = &mut held.live else { continue };
            let changed =
                change(live, &each).map_err(refused(format!("balance virtual addresses in container {container}")));
            result = result.and(changed);
        }
        result
    }
}

fn change(live: &mut Live, each: impl FnOnce(&mut Balancer) -> Result<(), Refusal>) -> Result<(), Refusal> {
    if live.balancer.is_none() {
        let opened = netns::within(live.namespace.as_fd(), Balancer::open);
        live.balancer = Some(opened.map_err(|error| Refusal {
            errno: nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
            words: None,
        })?);
    }
    live.balancer.as_mut().map_or(Ok(()), each)
}

/// A service's ports on every machine, with the addresses of its serving peers.
fn mesh_forwards<'a>(tunnel: &'a Tunnel, service: &str) -> impl Iterator<Item = MeshForward> + 'a {
    let serving = tunnel.serving.get(service).into_iter().flatten();
    let addresses = serving.filter_map(|id| tunnel.peers.get(id)).flat_map(|peer| &peer.addresses);
    let backends: Vec<IpAddr> = addresses.copied().collect();
    let ports = tunnel.services.get(service).into_iter().flat_map(|service| &service.ports);
    ports.map(move |port| MeshForward {
        protocol: port.protocol,
        port: port.published,
        backends: backends.clone(),
        target: port.target,
    })
}

/// A service's addresses, each with those of its serving peers of the same family.
fn virtuals<'a>(tunnel: &'a Tunnel, service: &str) -> impl Iterator<Item = Virtual> + 'a {
    let serving = tunnel.serving.get(service).into_iter().flatten();
    let backends: Vec<IpAddr> =
        serving.filter_map(|id| tunnel.peers.get(id)).flat_map(|peer| peer.addresses.iter().copied()).collect();
    let addresses = tunnel.services.get(service).into_iter().flat_map(|service| &service.addresses);
    addresses.map(move |address| Virtual {
        address: *address,
        backends: backends.iter().copied().filter(|backend| backend.is_ipv6() == address.is_ipv6()).collect(),
    })
}
