//! Networks whose containers are on the host's own wire: macvlan and ipvlan. There is no bridge, no firewall and no
//! published port. With macvlan each container has a link address of its own that the parent's neighbours see; with
//! ipvlan all have the parent's, and are told apart by their IP addresses.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use super::endpoint::{Joining, apply_sysctls, enable_ipv6, interface_name, release_from, take_addresses};
use super::{Core, Kind, Net, bridge, refused, refused_batch};
use crate::error::Error;
use crate::ident;
use crate::ipam::{self, Addresses};
use crate::model::{Endpoint, Network, NetworkSpec};
use crate::netlink::{Batch, IpVlanFlags, IpVlanMode, MacvlanMode, Overlaid, OverlaidLink, Rtnl};
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
    kind: Overlaid,
    mtu: Option<u32>,
    interface_prefix: String,
}

impl DirectSettings {
    fn parse(spec: &NetworkSpec, default_mtu: Option<u32>) -> Result<Self, Error> {
        let ipvlan = spec.driver == "ipvlan";
        let (mut mode, mut flags) = (IpVlanMode::L2, IpVlanFlags::empty());
        let kind = Overlaid::Macvlan(MacvlanMode::Bridge);
        let mut settings = Self { parent: None, kind, mtu: default_mtu, interface_prefix: "eth".into() };
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
                "macvlan_mode" if !ipvlan => {
                    settings.kind = Overlaid::Macvlan(match value.as_str() {
                        "" | "bridge" => MacvlanMode::Bridge,
                        "private" => MacvlanMode::Private,
                        "vepa" => MacvlanMode::Vepa,
                        "passthru" => MacvlanMode::Passthrough,
                        _ => return Err(wrong("expected bridge, private, vepa or passthru")),
                    });
                }
                "ipvlan_mode" if ipvlan => {
                    mode = match value.as_str() {
                        "" | "l2" => IpVlanMode::L2,
                        "l3" => IpVlanMode::L3,
                        "l3s" => IpVlanMode::L3S,
                        _ => return Err(wrong("expected l2, l3 or l3s")),
                    };
                }
                "ipvlan_flag" if ipvlan => {
                    flags = match value.as_str() {
                        "" | "bridge" => IpVlanFlags::empty(),
                        "private" => IpVlanFlags::Private,
                        "vepa" => IpVlanFlags::Vepa,
                        _ => return Err(wrong("expected bridge, private or vepa")),
                    };
                }
                "com.docker.network.driver.mtu" => settings.mtu = Some(mtu(value).map_err(wrong)?),
                "com.docker.network.container_iface_prefix" => {
                    check_interface_name(&format!("{value}0"))?;
                    settings.interface_prefix.clone_from(value);
                }
                _ if ipvlan => return Err(wrong("unknown option of the ipvlan driver")),
                _ => return Err(wrong("unknown option of the macvlan driver")),
            }
        }
        if ipvlan {
            settings.kind = Overlaid::Ipvlan(mode, flags);
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
        self.check_parent(&parent, settings.kind)?;
        let mut taken = self.taken(&parent)?;
        if spec.ipam.config.iter().any(|config| config.subnet.is_some()) {
            // It is the wire's own subnet that is meant, to which the host has a route as its neighbours have.
            taken.routes.clear();
        }
        spec.ipam.config = ipam::plan(&spec, &self.options.pools, &taken)?;
        let network =
            Network { id, created: jiff::Timestamp::now(), spec, bridge: None, existing: None, overlay: None };
        let made = self
            .build_direct(&network)
            .and_then(|net| self.try_kind(settings.kind, &parent).map(|()| net))
            .and_then(|net| self.store.save_network(&network).map(|()| net));
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

    /// A parent in passthru mode is one network's alone; and the kernel lets only links of one kind lie on a parent,
    /// those of ipvlan all in one mode.
    fn check_parent(&self, parent: &str, kind: Overlaid) -> Result<(), Error> {
        const ALONE: Overlaid = Overlaid::Macvlan(MacvlanMode::Passthrough);
        for net in self.networks.values() {
            let Kind::Direct(other) = &net.kind else { continue };
            if other.parent != parent {
                continue;
            }
            let name = &net.network.spec.name;
            let reason = match (kind, other.settings.kind) {
                (ALONE, _) | (_, ALONE) => format!("network {name} uses it, and in mode passthru only one can"),
                (Overlaid::Macvlan(_), Overlaid::Macvlan(_)) => continue,
                (Overlaid::Ipvlan(one, flags), Overlaid::Ipvlan(two, others)) if (one, flags) == (two, others) => {
                    continue;
                }
                (Overlaid::Ipvlan(..), Overlaid::Ipvlan(..)) => {
                    format!("network {name} uses it in another mode or with another flag")
                }
                _ => format!("network {name} uses it, with driver {}", net.network.spec.driver),
            };
            return Err(Error::Interface { name: parent.to_owned(), reason });
        }
        Ok(())
    }

    /// Not every kernel has ipvlan: that is told when the network is made, not when the first container comes.
    fn try_kind(&mut self, kind: Overlaid, parent: &str) -> Result<(), Error> {
        let action = || format!("make a link of driver ipvlan on {parent}, which not every kernel can");
        if let Overlaid::Macvlan(_) = kind {
            return Ok(());
        }
        let Some(over) = self.rtnl.link(parent).map_err(refused(action()))? else { return Ok(()) };
        let here = std::fs::File::open("/proc/thread-self/ns/net").map_err(Error::State)?;
        let name = "hoist-try";
        let mut batch = Batch::default();
        batch.add_overlaid(OverlaidLink { name, parent: over.index, kind, mac: None, mtu: None }, here.as_fd());
        batch.delete_link(name);
        self.rtnl.send(batch).map_err(refused_batch(action()))
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
        let Joining { kind, live, rtnl, taken } = self.joining(network, &endpoint.container)?;
        let Kind::Direct(direct) = kind else { unreachable!("the caller checked") };
        let name = interface_name(&endpoint.request, &settings, &direct.settings.interface_prefix, &taken)?;
        let ipvlan = matches!(direct.settings.kind, Overlaid::Ipvlan(..));
        if ipvlan && endpoint.request.mac.is_some() {
            let reason = "containers of an ipvlan network have its link address, so that none can be given".to_owned();
            return Err(Error::Interface { name: direct.parent.clone(), reason });
        }
        let Direct { ipv4, ipv6, .. } = &mut **direct;
        take_addresses(ipv4, ipv6, network, endpoint)?;
        if ipvlan || direct.settings.kind == Overlaid::Macvlan(MacvlanMode::Passthrough) {
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
    let link = OverlaidLink {
        name: &name,
        parent: parent.index,
        kind: direct.settings.kind,
        mac: endpoint.mac,
        mtu: direct.settings.mtu,
    };
    let mut outside = Batch::default();
    outside.add_overlaid(link, live.namespace.as_fd());
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
