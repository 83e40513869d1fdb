//! A container's place on one network.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use super::network::is_direct;
use super::{Bridge, Core, Kind, Live, Net, refused_batch};
use crate::error::Error;
use crate::ident;
use crate::ipam::Addresses;
use crate::model::{ConnectRequest, Endpoint, MacAddress, Network};
use crate::netlink::{Batch, Rtnl, VethEnd};
use crate::netns;
use crate::sandbox::{Pair, make_pair};
use crate::settings::{EndpointSettings, check_interface_name};

impl Core {
    /// Puts a container on a network, in the kernel and in its record; takes all back on failure.
    pub(super) fn join(&mut self, container: &str, request: ConnectRequest) -> Result<Endpoint, Error> {
        let net = self.find(&request.network)?;
        let (network, exclusive) = (net.network.clone(), !matches!(net.kind, Kind::Bridge(_) | Kind::Direct(_)));
        match &net.kind {
            Kind::Bridge(_) | Kind::Direct(_) | Kind::None => {}
            Kind::Config => return Err(Error::ConfigOnly(network.spec.name)),
            Kind::Host => return Err(Error::HostNetwork(container.to_owned())),
            Kind::Unusable(reason) => {
                return Err(Error::Unusable { network: network.spec.name, reason: reason.clone() });
            }
        }
        let record = &self.containers.get(container).ok_or_else(|| Error::NoSandbox(container.to_owned()))?.record;
        if record.endpoints.iter().any(|e| e.network == network.id) {
            return Err(Error::AlreadyConnected { container: container.to_owned(), network: network.spec.name });
        }
        let others_exclude = record.endpoints.iter().any(|e| e.interface.is_none());
        if others_exclude || (exclusive && !record.endpoints.is_empty()) {
            let network = if exclusive { network.spec.name } else { record.endpoints[0].network_name.clone() };
            return Err(Error::Exclusive { container: container.to_owned(), network });
        }
        let mut endpoint = Endpoint {
            id: ident::random_id(),
            container: container.to_owned(),
            network: network.id.clone(),
            network_name: network.spec.name.clone(),
            host_interface: None,
            interface: None,
            mac: None,
            ipv4: None,
            ipv6: None,
            gateway4: None,
            gateway6: None,
            names: names(&request),
            request,
        };
        if !exclusive {
            let joined = match is_direct(&network.spec.driver) {
                true => self.join_direct(&network, &mut endpoint),
                false => match self.join_bridge(&network, &mut endpoint) {
                    Err(_) if self.remake_bridge(&network)? => self.join_bridge(&network, &mut endpoint),
                    joined => joined,
                },
            };
            joined.map_err(|error| self.with_names(error))?;
        }
        let held = self.containers.get_mut(container).expect("it was found above");
        held.record.endpoints.push(endpoint.clone());
        if !exclusive {
            self.directory.join(&endpoint);
            let finished = self
                .route(container)
                .and_then(|()| self.balance_all(container, &network.id))
                .and_then(|()| self.answer_over_mesh(container, &network));
            if let Err(error) = finished {
                let _ = self.leave(container, &network.id);
                return Err(error);
            }
        }
        Ok(endpoint)
    }

    fn join_bridge(&mut self, network: &Network, endpoint: &mut Endpoint) -> Result<(), Error> {
        let settings = EndpointSettings::parse(&endpoint.request.driver_opts)?;
        let Joining { kind, live, rtnl, taken } = self.joining(network, &endpoint.container)?;
        let Kind::Bridge(bridge) = kind else { unreachable!("the caller checked") };
        let name = interface_name(&endpoint.request, &settings, &bridge.settings.interface_prefix, &taken)?;
        take_addresses(&mut bridge.ipv4, &mut bridge.ipv6, network, endpoint)?;
        endpoint.interface = Some(name);
        let made = link(rtnl, live, bridge, endpoint, &settings);
        if made.is_err() {
            release_from(&mut bridge.ipv4, &mut bridge.ipv6, endpoint);
        }
        made
    }

    /// What joining a network needs, side by side.
    pub(super) fn joining(&mut self, network: &Network, container: &str) -> Result<Joining<'_>, Error> {
        let no_sandbox = || Error::NoSandbox(container.to_owned());
        let Self { networks, containers, rtnl, .. } = self;
        let net = networks.get_mut(&network.id).expect("the caller found it");
        let held = containers.get_mut(container).ok_or_else(no_sandbox)?;
        let live = held.live.as_mut().ok_or_else(no_sandbox)?;
        let taken = held.record.endpoints.iter().filter_map(|e| e.interface.as_deref()).collect();
        Ok(Joining { kind: &mut net.kind, live, rtnl, taken })
    }

    /// Takes a container off a network: names, addresses, links. What fails does not stop the rest.
    pub(super) fn leave(&mut self, container: &str, network_id: &str) -> Result<(), Error> {
        let Some(held) = self.containers.get_mut(container) else { return Ok(()) };
        let Some(at) = held.record.endpoints.iter().position(|e| e.network == network_id) else { return Ok(()) };
        let endpoint = held.record.endpoints.remove(at);
        if let (Some(live), Some(name)) = (&mut held.live, &endpoint.interface) {
            live.links.remove(name);
        }
        self.directory.leave(&endpoint);
        let live = held.live.as_mut();
        let mut batch = Batch::default();
        let (host, sent) = match (&endpoint.host_interface, live, &endpoint.interface) {
            (Some(host), ..) => {
                batch.delete_link(host);
                (host, self.rtnl.send(batch))
            }
            // A link that lies on one of the host's has its one end inside.
            (None, Some(live), Some(inside)) => {
                batch.delete_link(inside);
                (inside, live.rtnl.send(batch))
            }
            _ => {
                self.release_addresses(&endpoint);
                return Ok(());
            }
        };
        self.release_addresses(&endpoint);
        match sent {
            Err((_, refusal)) if refusal.errno != nix::errno::Errno::ENODEV => {
                Err(refused_batch(format!("remove link {host} of container {container}"))((0, refusal)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn release_addresses(&mut self, endpoint: &Endpoint) {
        if let Some((pool4, pool6)) = self.networks.get_mut(&endpoint.network).and_then(pools) {
            release_from(pool4, pool6, endpoint);
        }
    }
}

/// A network and a container that are to come together.
pub(super) struct Joining<'a> {
    pub(super) kind: &'a mut Kind,
    pub(super) live: &'a mut Live,
    /// Of the host's namespace.
    pub(super) rtnl: &'a mut Rtnl,
    /// The names of the container's interfaces.
    pub(super) taken: Vec<&'a str>,
}

/// Names and aliases, each once.
fn names(request: &ConnectRequest) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in request.names.iter().chain(&request.aliases) {
        if !name.is_empty() && !all.iter().any(|n| n.eq_ignore_ascii_case(name)) {
            all.push(name.clone());
        }
    }
    all
}

pub(super) fn interface_name(
    request: &ConnectRequest,
    settings: &EndpointSettings,
    prefix: &str,
    taken: &[&str],
) -> Result<String, Error> {
    if let Some(name) = request.interface_name.as_ref().or(settings.interface.as_ref()) {
        check_interface_name(name)?;
        if taken.contains(&name.as_str()) || name == "lo" {
            return Err(Error::Interface { name: name.clone(), reason: "the container has one of that name".into() });
        }
        return Ok(name.clone());
    }
    let free = (0..).map(|n| format!("{prefix}{n}")).find(|name| !taken.contains(&name.as_str()));
    Ok(free.expect("a container has finitely many interfaces"))
}

/// Decides addresses, link address and gateways.
pub(super) fn take_addresses(
    pool4: &mut Option<Addresses>,
    pool6: &mut Option<Addresses>,
    network: &Network,
    endpoint: &mut Endpoint,
) -> Result<(), Error> {
    let request = &endpoint.request;
    let ipv4 = take(pool4.as_mut(), request.ipv4.map(IpAddr::V4), network, &endpoint.container, false)?;
    let ipv6 = match take(pool6.as_mut(), request.ipv6.map(IpAddr::V6), network, &endpoint.container, true) {
        Ok(taken) => taken,
        Err(error) => {
            if let (Some(pool), Some((address, _))) = (pool4, ipv4) {
                pool.release(address);
            }
            return Err(error);
        }
    };
    for (address, prefix) in ipv4.into_iter().chain(ipv6) {
        match address {
            IpAddr::V4(a) => endpoint.ipv4 = Some((a, prefix)),
            IpAddr::V6(a) => endpoint.ipv6 = Some((a, prefix)),
        }
    }
    let address = endpoint.ipv4.map(|(a, _)| IpAddr::V4(a)).or(endpoint.ipv6.map(|(a, _)| IpAddr::V6(a)));
    let mac = request.mac.or(address.map(MacAddress::standing_for));
    endpoint.mac = mac;
    if !network.spec.internal {
        let gateway = |v6| network.way_out(v6);
        endpoint.gateway4 = gateway(false).and_then(|g| if let IpAddr::V4(a) = g { Some(a) } else { None });
        endpoint.gateway6 = gateway(true).and_then(|g| if let IpAddr::V6(a) = g { Some(a) } else { None });
    }
    Ok(())
}

fn take(
    pool: Option<&mut Addresses>,
    wanted: Option<IpAddr>,
    network: &Network,
    container: &str,
    v6: bool,
) -> Result<Option<(IpAddr, u8)>, Error> {
    match (pool, wanted) {
        (Some(pool), Some(address)) => pool.take_static(address, container).map(|a| Some((a, pool.prefix()))),
        (Some(pool), None) => pool.take(container).map(|a| Some((a, pool.prefix()))),
        (None, Some(address)) => Err(Error::Address {
            address,
            network: network.spec.name.clone(),
            reason: format!("the network has no {} addresses", crate::ipam::family_name(v6)),
        }),
        (None, None) => Ok(None),
    }
}

/// The pools of a network that gives addresses.
pub(super) fn pools(net: &mut Net) -> Option<(&mut Option<Addresses>, &mut Option<Addresses>)> {
    match &mut net.kind {
        Kind::Bridge(bridge) => Some((&mut bridge.ipv4, &mut bridge.ipv6)),
        Kind::Direct(direct) => Some((&mut direct.ipv4, &mut direct.ipv6)),
        Kind::Host | Kind::None | Kind::Config | Kind::Unusable(_) => None,
    }
}

pub(super) fn release_from(pool4: &mut Option<Addresses>, pool6: &mut Option<Addresses>, endpoint: &Endpoint) {
    if let (Some(pool), Some((address, _))) = (pool4, endpoint.ipv4) {
        pool.release(address.into());
    }
    if let (Some(pool), Some((address, _))) = (pool6, endpoint.ipv6) {
        pool.release(address.into());
    }
}

/// What a port of this bridge does differently from any other.
pub(super) fn set_port(batch: &mut Batch, host: &str, bridge: &Bridge) {
    // Where the host's firewall also sees bridged packets, a published port is translated before the
    // bridge decides. A container that calls its own then has to get back what it sends, and one that
    // calls its neighbour's must not be stopped by the bridge: the firewall's rules tell what is
    // published from what is not.
    if bridge.filtered {
        batch.set_port(host, false, true);
    } else if !bridge.settings.icc {
        batch.set_port(host, true, false);
    }
}

/// Lets an interface inside have IPv6 addresses.
pub(super) fn enable_ipv6(live: &Live, name: &str) -> io::Result<()> {
    netns::within(live.namespace.as_fd(), || {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "0")
    })
}

/// The kernel settings that a person wants for an interface inside.
pub(super) fn apply_sysctls(live: &Live, name: &str, settings: &EndpointSettings) -> io::Result<()> {
    if settings.sysctls.is_empty() {
        return Ok(());
    }
    netns::within(live.namespace.as_fd(), || {
        settings.sysctls.iter().try_for_each(|(path, value)| {
            let path = path.replace("IFNAME", name);
            std::fs::write(format!("/proc/sys/{path}"), value)
                .map_err(|e| io::Error::new(e.kind(), format!("kernel setting {}: {e}", path.replace('/', "."))))
        })
    })
}

/// Makes the link, with all its addresses, on both sides.
fn link(
    rtnl: &mut Rtnl,
    live: &mut Live,
    bridge: &Bridge,
    endpoint: &mut Endpoint,
    settings: &EndpointSettings,
) -> Result<(), Error> {
    let name = endpoint.interface.clone().expect("the name was chosen before");
    let action = || format!("connect container {} to network {}", endpoint.container, endpoint.network_name);
    let io_error = |source: io::Error| Error::Netlink { action: action(), source };
    let Pair { host, index, .. } = match live.spare.take() {
        Some(pair) => pair,
        None => {
            make_pair(rtnl, &mut live.rtnl, live.namespace.as_fd(), &name, bridge.settings.mtu).map_err(io_error)?
        }
    };
    let result = (|| {
        let mtu = bridge.settings.mtu;
        let mut inside = Batch::default();
        inside.set_end(index, VethEnd { name: &name, mac: endpoint.mac, mtu });
        if endpoint.ipv6.is_some() || endpoint.request.link_local.iter().any(IpAddr::is_ipv6) {
            // The setting goes by name, so the name comes first; the setting before the addresses.
            live.rtnl.send(std::mem::take(&mut inside)).map_err(refused_batch(action()))?;
            enable_ipv6(live, &name).map_err(io_error)?;
        }
        if let Some((address, prefix)) = endpoint.ipv4 {
            inside.add_address(index, address.into(), prefix);
        }
        if let Some((address, prefix)) = endpoint.ipv6 {
            inside.add_address(index, address.into(), prefix);
        }
        for address in &endpoint.request.link_local {
            inside.add_address(index, *address, if address.is_ipv6() { 128 } else { 32 });
        }
        inside.set_up(&name);
        live.rtnl.send(inside).map_err(refused_batch(action()))?;

        let mut outside = Batch::default();
        if let Some(mtu) = mtu {
            outside.set_mtu(&host, mtu);
        }
        outside.set_master(&host, bridge.index);
        set_port(&mut outside, &host, bridge);
        outside.set_up(&host);
        rtnl.send(outside).map_err(refused_batch(action()))?;

        apply_sysctls(live, &name, settings).map_err(io_error)
    })();
    if result.is_err() {
        let mut undo = Batch::default();
        undo.delete_link(&host);
        let _ = rtnl.send(undo);
        return result;
    }
    live.links.insert(name, index);
    endpoint.host_interface = Some(host);
    Ok(())
}
