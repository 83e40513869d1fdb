//! Networks whose containers are on the host's own wire: macvlan. There is no bridge, no firewall and no published
//! port; each container has a link address of its own that the parent's neighbours see.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use super::endpoint::{apply_sysctls, enable_ipv6, interface_name, release_from, take_addresses};
use super::{Core, Kind, Net, bridge, refused, refused_batch};
use crate::error::Error;
use crate::ident;
use crate::ipam::{self, Addresses};
use crate::model::{Endpoint, Network, NetworkSpec};
use crate::netlink::{Batch, Macvlan, MacvlanMode, Rtnl};
use crate::settings::{EndpointSettings, check_interface_name, mtu};

/// A network on a wire of the host's.
pub(super) struct Direct {
    settings: DirectSettings,
    /// The interface on which containers' links lie.
    pub(super) parent: String,
    pub(super) ipv4: Option<Addresses>,
    pub(super) ipv6: Option<Addresses>,
}

/// What the options of such a network say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DirectSettings {
    parent: Option<String>,
    mode: MacvlanMode,
    mtu: Option<u32>,
    interface_prefix: String,
}

impl DirectSettings {
    fn parse(spec: &NetworkSpec, default_mtu: Option<u32>) -> Result<Self, Error> {
        let mut settings =
            Self { parent: None, mode: MacvlanMode::Bridge, mtu: default_mtu, interface_prefix: "eth".into() };
        for (option, value) in &spec.options {
            let wrong = |reason: &str| Error::DriverOption {
                option: option.clone(),
                value: value.clone(),
                reason: reason.to_owned(),
            };
            match option.as_str() {
                "parent" => {
                    if value == "lo" {
                        return Err(wrong("the loopback interface cannot be a parent"));
                    }
                    check_interface_name(value)?;
                    settings.parent = Some(value.clone());
                }
                "macvlan_mode" => {
                    settings.mode = match value.as_str() {
                        "" | "bridge" => MacvlanMode::Bridge,
                        "private" => MacvlanMode::Private,
                        "vepa" => MacvlanMode::Vepa,
                        "passthru" => MacvlanMode::Passthrough,
                        _ => return Err(wrong("expected bridge, private, vepa or passthru")),
                    };
                }
                "com.docker.network.driver.mtu" => settings.mtu = Some(mtu(value).map_err(wrong)?),
                "com.docker.network.container_iface_prefix" => {
                    check_interface_name(&format!("{value}0"))?;
                    settings.interface_prefix.clone_from(value);
                }
                _ => return Err(wrong("unknown option of the macvlan driver")),
            }
        }
        Ok(settings)
    }
}

/// `eth0.50` is the 802.1Q sub-interface 50 of `eth0`.
fn sub_interface(name: &str) -> Option<(&str, u16)> {
    let (over, id) = name.rsplit_once('.')?;
    let id = id.parse().ok().filter(|id| (1..=4094).contains(id))?;
    (!over.is_empty()).then_some((over, id))
}

impl Core {
    /// Makes a network on the host's wire, or on one of its own where no parent is named.
    pub(super) fn create_direct(&mut self, mut spec: NetworkSpec) -> Result<Network, Error> {
        let settings = DirectSettings::parse(&spec, self.options.mtu)?;
        let id = ident::random_id();
        if settings.parent.is_none() {
            // A wire that leads nowhere.
            spec.internal = true;
        }
        let parent = settings.parent.clone().unwrap_or_else(|| own_wire(&id));
        self.check_parent(&parent, settings.mode)?;
        let mut taken = self.taken(&parent)?;
        if spec.ipam.config.iter().any(|config| config.subnet.is_some()) {
            // It is the wire's own subnet that is meant, to which the host has a route as its neighbours have.
            taken.routes.clear();
        }
        spec.ipam.config = ipam::plan(&spec, &self.options.pools, &taken)?;
        let network =
            Network { id, created: jiff::Timestamp::now(), spec, bridge: None, existing: None, overlay: None };
        let made = self.build_direct(&network).and_then(|net| self.store.save_network(&network).map(|()| net));
        match made {
            Ok(net) => {
                self.networks.insert(network.id.clone(), net);
                Ok(network)
            }
            Err(error) => {
                let _ = self.remove_parent(&network, &parent);
                Err(error)
            }
        }
    }

    /// The network's part of the kernel: its parent, made where it is for us to make.
    pub(super) fn build_direct(&mut self, network: &Network) -> Result<Net, Error> {
        let settings = DirectSettings::parse(&network.spec, self.options.mtu)?;
        let parent = settings.parent.clone().unwrap_or_else(|| own_wire(&network.id));
        self.ensure_parent(network, &parent, settings.parent.is_none())?;
        let addresses = |v6| network.ipam(v6).and_then(|c| Addresses::new(&network.spec.name, c));
        let direct = Direct { settings, parent, ipv4: addresses(false), ipv6: addresses(true) };
        Ok(Net { kind: Kind::Direct(Box::new(direct)), network: network.clone() })
    }

    /// A parent in passthru mode is one network's alone.
    fn check_parent(&self, parent: &str, mode: MacvlanMode) -> Result<(), Error> {
        for net in self.networks.values() {
            let Kind::Direct(other) = &net.kind else { continue };
            if other.parent == parent && [mode, other.settings.mode].contains(&MacvlanMode::Passthrough) {
                let reason = format!("network {} uses it, and in mode passthru only one can", net.network.spec.name);
                return Err(Error::Interface { name: parent.to_owned(), reason });
            }
        }
        Ok(())
    }

    fn ensure_parent(&mut self, network: &Network, parent: &str, own: bool) -> Result<(), Error> {
        let action = || format!("set up the parent interface {parent} of network {}", network.spec.name);
        let found = self.rtnl.link(parent).map_err(refused(action()))?;
        if let Some(link) = found {
            if !link.up && link.alias == Some(bridge::label(&self.options.instance, &network.id)) {
                let mut batch = Batch::default();
                batch.set_up(parent);
                self.rtnl.send(batch).map_err(refused_batch(action()))?;
            }
            return Ok(());
        }
        let mut batch = Batch::default();
        if own {
            // Not every kernel has dummies; a pair is a wire with a carrier that every one has.
            let peer = parent.replacen("dm-", "dp-", 1);
            batch.add_wire(parent, &peer);
            batch.no_automatic_ipv6(&peer);
            batch.set_up(&peer);
        } else {
            let missing = |reason: &str| Error::Interface { name: parent.to_owned(), reason: reason.to_owned() };
            let (over, id) = sub_interface(parent).ok_or_else(|| {
                missing("there is no such interface on this machine, and it is no sub-interface such as eth0.50")
            })?;
            let over = self.rtnl.link(over).map_err(refused(action()))?;
            let over = over.ok_or_else(|| missing("the interface that it would be a sub-interface of is missing"))?;
            batch.add_vlan(parent, over.index, id);
        }
        batch.set_alias(parent, &bridge::label(&self.options.instance, &network.id));
        batch.no_automatic_ipv6(parent);
        batch.set_up(parent);
        self.rtnl.send(batch).map_err(refused_batch(action()))
    }

    /// Takes the parent down where it was made for this network.
    pub(super) fn remove_parent(&mut self, network: &Network, parent: &str) -> Result<(), Error> {
        let action = || format!("remove the parent interface {parent} of network {}", network.spec.name);
        let link = self.rtnl.link(parent).map_err(refused(action()))?;
        if link.is_none_or(|link| link.alias != Some(bridge::label(&self.options.instance, &network.id))) {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.delete_link(parent);
        self.rtnl.send(batch).map_err(refused_batch(action()))
    }

    /// Puts a container on it.
    pub(super) fn join_direct(&mut self, network: &Network, endpoint: &mut Endpoint) -> Result<(), Error> {
        let settings = EndpointSettings::parse(&endpoint.request.driver_opts)?;
        let container = &endpoint.container;
        let no_sandbox = || Error::NoSandbox(container.clone());
        let Self { networks, containers, rtnl, .. } = self;
        let net = networks.get_mut(&network.id).expect("the caller found it");
        let Kind::Direct(direct) = &mut net.kind else { unreachable!("the caller checked") };
        let held = containers.get_mut(container).ok_or_else(no_sandbox)?;
        let live = held.live.as_mut().ok_or_else(no_sandbox)?;
        let taken: Vec<&str> = held.record.endpoints.iter().filter_map(|e| e.interface.as_deref()).collect();
        let name = interface_name(&endpoint.request, &settings, &direct.settings.interface_prefix, &taken)?;
        let Direct { ipv4, ipv6, .. } = &mut **direct;
        take_addresses(ipv4, ipv6, network, endpoint)?;
        if direct.settings.mode == MacvlanMode::Passthrough {
            // The link is the parent's own, with its address, unless a person wants another.
            endpoint.mac = endpoint.request.mac;
        }
        endpoint.interface = Some(name);
        let made = link(rtnl, live, direct, endpoint, &settings);
        if made.is_err() {
            release_from(&mut direct.ipv4, &mut direct.ipv6, endpoint);
        }
        made
    }
}

/// The interface of a network without parent: as much of the network's id as fits.
fn own_wire(id: &str) -> String {
    format!("dm-{}", &id[..12])
}

/// Makes the container's link, with all its addresses.
fn link(
    rtnl: &mut Rtnl,
    live: &mut super::Live,
    direct: &Direct,
    endpoint: &mut Endpoint,
    settings: &EndpointSettings,
) -> Result<(), Error> {
    let name = endpoint.interface.clone().expect("the name was chosen before");
    let action = || format!("connect container {} to network {}", endpoint.container, endpoint.network_name);
    let io_error = |source: io::Error| Error::Netlink { action: action(), source };
    let parent = rtnl.link(&direct.parent).map_err(refused(action()))?;
    let parent = parent.ok_or_else(|| Error::Interface {
        name: direct.parent.clone(),
        reason: format!("it is gone, and network {} needs it", endpoint.network_name),
    })?;
    let link = Macvlan {
        name: &name,
        parent: parent.index,
        mode: direct.settings.mode,
        mac: endpoint.mac,
        mtu: direct.settings.mtu,
    };
    let mut outside = Batch::default();
    outside.add_macvlan(link, live.namespace.as_fd());
    rtnl.send(outside).map_err(refused_batch(action()))?;
    let result = (|| {
        let made = live.rtnl.link(&name).map_err(refused(action()))?;
        let made = made.ok_or_else(|| io_error(io::Error::other(format!("link {name} is gone after it was made"))))?;
        if endpoint.ipv6.is_some() || endpoint.request.link_local.iter().any(IpAddr::is_ipv6) {
            enable_ipv6(live, &name).map_err(io_error)?;
        }
        let mut inside = Batch::default();
        if let Some((address, prefix)) = endpoint.ipv4 {
            inside.add_address(made.index, address.into(), prefix);
        }
        if let Some((address, prefix)) = endpoint.ipv6 {
            inside.add_address(made.index, address.into(), prefix);
        }
        for address in &endpoint.request.link_local {
            inside.add_address(made.index, *address, if address.is_ipv6() { 128 } else { 32 });
        }
        inside.set_up(&name);
        live.rtnl.send(inside).map_err(refused_batch(action()))?;
        apply_sysctls(live, &name, settings).map_err(io_error)?;
        Ok((made.index, made.mac))
    })();
    match result {
        Ok((index, mac)) => {
            endpoint.mac = endpoint.mac.or(mac);
            live.links.insert(name, index);
            Ok(())
        }
        Err(error) => {
            let mut undo = Batch::default();
            undo.delete_link(&name);
            let _ = live.rtnl.send(undo);
            Err(error)
        }
    }
}
