//! Networks come and go.

use super::{Bridge, Core, Kind, Net, bridge, refused, sysctl};
use crate::error::{Error, short};
use crate::ident;
use crate::ipam::{self, Addresses, Taken};
use crate::model::{Network, NetworkSpec, Overlay};
use crate::settings::BridgeSettings;

/// Whether a driver's networks lie on a wire of the host's.
pub(super) fn is_direct(driver: &str) -> bool {
    matches!(driver, "macvlan" | "ipvlan")
}

impl Core {
    /// Makes a network as asked; nothing is left of one that cannot be.
    pub(crate) fn create(&mut self, mut spec: NetworkSpec) -> Result<Network, Error> {
        check_name(&spec.name)?;
        if self.networks.values().any(|n| n.network.spec.name == spec.name) {
            return Err(Error::Exists(spec.name));
        }
        if spec.config_only {
            return self.create_config(spec);
        }
        if let Some(name) = spec.config_from.clone() {
            self.configure(&mut spec, &name)?;
        }
        match spec.driver.as_str() {
            "" => spec.driver = "bridge".into(),
            "bridge" => {}
            driver if is_direct(driver) => {}
            "host" | "null" | "none" => return Err(Error::Single(spec.driver)),
            // Those that span machines are the cluster's to decide: see `create_overlay`.
            _ => return Err(Error::Driver(spec.driver)),
        }
        if let Some(defaults) = self.options.network_options.get(&spec.driver) {
            for (option, value) in defaults {
                spec.options.entry(option.clone()).or_insert_with(|| value.clone());
            }
        }
        if is_direct(&spec.driver) { self.create_direct(spec) } else { self.create_bridge_network(spec, None, None) }
    }

    /// This machine's part of a network that spans machines, as the cluster decided it: nothing is
    /// left open.
    pub(crate) fn create_overlay(&mut self, spec: NetworkSpec, overlay: Overlay) -> Result<Network, Error> {
        check_name(&spec.name)?;
        if self.networks.values().any(|n| n.network.spec.name == spec.name) {
            return Err(Error::Exists(spec.name));
        }
        if !(1..1 << 24).contains(&overlay.vni) {
            return Err(Error::Overlay {
                network: spec.name,
                reason: format!("VXLAN identifier {} is not between 1 and 16777215", overlay.vni),
            });
        }
        self.create_bridge_network(spec, None, Some(overlay))
    }

    /// `bridge_name` is for the default network, whose bridge is not named by its options.
    pub(super) fn create_bridge_network(
        &mut self,
        mut spec: NetworkSpec,
        bridge_name: Option<String>,
        overlay: Option<Overlay>,
    ) -> Result<Network, Error> {
        let mut settings = BridgeSettings::parse(&spec, self.options.mtu)?;
        let id = ident::random_id();
        let name = settings.name.clone().or(bridge_name).unwrap_or_else(|| format!("hst-{}", &id[..11]));
        if let Some(other) = self.networks.values().find(|n| n.network.bridge.as_ref() == Some(&name)) {
            let reason = format!("it is the bridge of network {}", other.network.spec.name);
            return Err(Error::Interface { name, reason });
        }
        let taken = self.taken(&name)?;
        spec.ipam.config = ipam::plan(&spec, &self.options.pools, &taken)?;
        let existing = self.existing_addresses(&name)?;
        let network = Network { id, created: jiff::Timestamp::now(), spec, bridge: Some(name), existing, overlay };
        self.fit_tunnel(&network, &mut settings)?;
        let made = self.build(&network, &settings).and_then(|net| {
            self.change_firewall(|f| f.add_bridge(&bridge_of(&net).rules))
                .map_err(refused(format!("write the firewall rules of network {}", network.spec.name)))?;
            if overlay.is_some_and(|overlay| overlay.mesh) {
                let bridge = network.bridge.clone().unwrap_or_default();
                self.change_firewall(|f| f.set_mesh_bridge(&bridge, true))
                    .map_err(refused("write the firewall rules of the routing mesh"))?;
            }
            self.store.save_network(&network).inspect_err(|_| {
                // The rules go again; that they came tells that they can.
                let _ = self.firewall.remove_bridge(&bridge_of(&net).rules);
            })?;
            Ok(net)
        });
        match made {
            Ok(net) => {
                self.networks.insert(network.id.clone(), net);
                Ok(network)
            }
            Err(error) => {
                let _ = self.remove_bridge(&network, &settings);
                Err(error)
            }
        }
    }

    /// The network's kernel side but for the firewall.
    pub(super) fn build(&mut self, network: &Network, settings: &BridgeSettings) -> Result<Net, Error> {
        let name = network.bridge.as_deref().unwrap_or_default();
        let index = self.ensure_bridge(network, name, settings)?;
        let tunnel = match &network.overlay {
            Some(overlay) => Some(self.ensure_tunnel(network, overlay, index, settings)?),
            None => None,
        };
        let addresses = |v6| network.ipam(v6).and_then(|c| Addresses::new(&network.spec.name, c));
        Ok(Net {
            kind: Kind::Bridge(Box::new(Bridge {
                rules: bridge::rules(network, name, settings),
                settings: settings.clone(),
                index,
                filtered: sysctl::is_set("net/bridge/bridge-nf-call-iptables"),
                ipv4: addresses(false),
                ipv6: addresses(true),
                tunnel,
            })),
            network: network.clone(),
        })
    }

    /// Removes a network that nobody uses.
    pub(crate) fn remove(&mut self, name_or_id: &str) -> Result<Network, Error> {
        let net = self.find(name_or_id)?;
        let network = net.network.clone();
        if network.is_predefined() {
            return Err(Error::Predefined(network.spec.name, "removed"));
        }
        let mut users: Vec<String> = self
            .containers
            .values()
            .filter_map(|c| c.record.endpoints.iter().find(|e| e.network == network.id))
            .map(|e| short(&self.name_of(&e.container)).to_owned())
            .collect();
        let from = |n: &&Net| n.network.spec.config_from.as_ref() == Some(&network.spec.name);
        users.extend(self.networks.values().filter(from).map(|n| format!("network {}", n.network.spec.name)));
        if !users.is_empty() {
            users.sort();
            return Err(Error::InUse { name: network.spec.name, containers: users });
        }
        // The file goes first: a network that is half gone does not come back.
        self.store.remove_network(&network.id)?;
        let net = self.networks.remove(&network.id).expect("it was found above");
        self.directory.forget_network(&network.id);
        let bridge = match net.kind {
            Kind::Bridge(bridge) => bridge,
            Kind::Direct(direct) => return self.remove_parent(&network, &direct.parent).map(|()| network),
            _ => return Ok(network),
        };
        if network.overlay.is_some_and(|overlay| overlay.mesh) {
            let name = network.bridge.clone().unwrap_or_default();
            self.change_firewall(|f| f.set_mesh_bridge(&name, false))
                .map_err(refused("remove the firewall rules of the routing mesh"))?;
        }
        let rules = self.change_firewall(|f| f.remove_bridge(&bridge.rules));
        let left = bridge.tunnel.as_ref().map_or(Ok(()), |tunnel| self.leave_encrypted(&network, tunnel));
        let link = left.and(self.remove_bridge(&network, &bridge.settings));
        rules.map_err(refused(format!("remove the firewall rules of network {}", network.spec.name)))?;
        link.map(|()| network)
    }

    /// What a new subnet must stay clear of. Routes over our own bridges are those of our networks.
    pub(super) fn taken(&mut self, bridge: &str) -> Result<Taken, Error> {
        let action = || "read the host's routes";
        let links = self.rtnl.links().map_err(refused(action()))?;
        let name_of = |index| links.iter().find(|l| l.index == index).map(|l| l.name.clone()).unwrap_or_default();
        let mut taken = Taken::default();
        for net in self.networks.values().filter(|n| !matches!(n.kind, Kind::Config)) {
            let subnets = net.network.spec.ipam.config.iter().filter_map(|c| c.subnet);
            taken.networks.extend(subnets.map(|s| (s, net.network.spec.name.clone())));
        }
        let ours =
            |name: &str| name == bridge || self.networks.values().any(|n| n.network.bridge.as_deref() == Some(name));
        for route in self.rtnl.routes().map_err(refused(action()))? {
            let interface = name_of(route.interface);
            if !ours(&interface) {
                taken.routes.push((route.destination, interface));
            }
        }
        Ok(taken)
    }
}

pub(super) fn bridge_of(net: &Net) -> &Bridge {
    match &net.kind {
        Kind::Bridge(bridge) => bridge,
        _ => unreachable!("only bridge networks are built"),
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let mut bytes = name.bytes();
    let fits = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if fits { Ok(()) } else { Err(Error::Name(name.to_owned())) }
}
