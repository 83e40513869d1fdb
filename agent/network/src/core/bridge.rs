//! A network's bridge in the kernel.

use std::net::IpAddr;

use super::{Core, Kind, refused, refused_batch, sysctl};
use crate::error::Error;
use crate::firewall::BridgeRules;
use crate::ipam::fnv;
use crate::model::{Endpoint, MacAddress, Network};
use crate::netlink::Batch;
use crate::settings::BridgeSettings;

/// What a bridge link of ours says of itself, so that it can be told from others' after a crash.
pub(super) fn label(instance: &str, network: &str) -> String {
    format!("hoist:{instance}:{network}")
}

pub(super) fn rules(network: &Network, bridge: &str, settings: &BridgeSettings) -> BridgeRules {
    let subnets = network.spec.ipam.config.iter().filter_map(|c| c.subnet);
    let hidden = settings.masquerade && !network.spec.internal;
    BridgeRules {
        bridge: bridge.to_owned(),
        internal: network.spec.internal,
        icc: settings.icc,
        masquerade: if hidden { subnets.collect() } else { Vec::new() },
    }
}

impl Core {
    /// Makes the bridge as the network says it is, whatever of it is there, and returns its index.
    pub(super) fn ensure_bridge(
        &mut self,
        network: &Network,
        name: &str,
        settings: &BridgeSettings,
    ) -> Result<u32, Error> {
        let action = || format!("set up bridge {name}");
        let alias = label(&self.options.instance, &network.id);
        let link = match self.rtnl.link(name).map_err(refused(action()))? {
            Some(link) if !link.bridge => {
                return Err(Error::Interface { name: name.to_owned(), reason: "it exists and is no bridge".into() });
            }
            Some(link) => link,
            None => {
                let mut batch = Batch::default();
                batch.add_bridge(name, bridge_mac(network), settings.mtu);
                batch.set_alias(name, &alias);
                self.rtnl.send(batch).map_err(refused_batch(action()))?;
                let made = self.rtnl.link(name).map_err(refused(action()))?;
                made.ok_or_else(|| Error::Interface { name: name.to_owned(), reason: "it vanished".into() })?
            }
        };
        self.prepare_bridge(network, name)?;
        let mut batch = Batch::default();
        if let Some(mtu) = settings.mtu.filter(|m| *m != link.mtu) {
            batch.set_mtu(name, mtu);
        }
        for (address, prefix) in bridge_addresses(network, settings) {
            batch.add_address(link.index, address, prefix);
        }
        batch.set_up(name);
        self.rtnl.send(batch).map_err(refused_batch(action()))?;
        if network.overlay.is_some_and(|overlay| overlay.mesh) {
            self.open_mesh(network, name)?;
        }
        Ok(link.index)
    }

    /// Makes a bridge again that somebody removed behind our back, with the ports of the containers that are on it. False
    /// when it is there.
    pub(super) fn remake_bridge(&mut self, network: &Network) -> Result<bool, Error> {
        let Some(name) = &network.bridge else { return Ok(false) };
        let Some(Kind::Bridge(bridge)) = self.networks.get(&network.id).map(|net| &net.kind) else { return Ok(false) };
        let (before, settings) = (bridge.index, bridge.settings.clone());
        // What the mesh's bridge knows of other machines comes back with a restart only.
        let mesh = network.overlay.is_some_and(|overlay| overlay.mesh);
        let link = self.rtnl.link(name).map_err(refused(format!("look up bridge {name}")))?;
        if mesh || link.is_some_and(|link| link.index == before) {
            return Ok(false);
        }
        tracing::warn!(network = network.spec.name, bridge = name, "the bridge is gone: it is made again");
        let index = self.ensure_bridge(network, name, &settings)?;
        let Some(Kind::Bridge(bridge)) = self.networks.get_mut(&network.id).map(|net| &mut net.kind) else {
            return Ok(false);
        };
        bridge.index = index;
        if let Some(tunnel) = &mut bridge.tunnel {
            tunnel.move_to(&mut self.rtnl, network, index)?;
        }
        let endpoints = self.containers.values().flat_map(|held| &held.record.endpoints);
        let here: Vec<Endpoint> = endpoints.filter(|endpoint| endpoint.network == network.id).cloned().collect();
        for endpoint in &here {
            self.reattach(endpoint)?;
        }
        Ok(true)
    }

    /// The addresses of a bridge that is there already.
    pub(super) fn existing_addresses(&mut self, name: &str) -> Result<Option<Vec<IpAddr>>, Error> {
        let action = || format!("look up interface {name}");
        let Some(link) = self.rtnl.link(name).map_err(refused(action()))? else { return Ok(None) };
        let all = self.rtnl.addresses().map_err(refused(action()))?;
        Ok(Some(all.into_iter().filter(|(index, ..)| *index == link.index).map(|(_, address, _)| address).collect()))
    }

    /// Kernel settings that a bridge's work depends on.
    fn prepare_bridge(&self, network: &Network, name: &str) -> Result<(), Error> {
        if network.spec.enable_ipv4 {
            // Lets the host reach ports that are published on its loopback address; the firewall
            // keeps containers from making use of it.
            sysctl::set(&format!("net/ipv4/conf/{name}/route_localnet"), "1")?;
            if !network.spec.internal {
                sysctl::forward(false)?;
            }
        }
        if network.spec.enable_ipv6 {
            sysctl::set(&format!("net/ipv6/conf/{name}/disable_ipv6"), "0")?;
            sysctl::set(&format!("net/ipv6/conf/{name}/accept_dad"), "0")?;
            // The host is the router here. It takes no advice from containers.
            sysctl::set_if_present(&format!("net/ipv6/conf/{name}/accept_ra"), "0")?;
            if !network.spec.internal {
                sysctl::forward(true)?;
            }
        } else {
            sysctl::set_if_present(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
        }
        Ok(())
    }

    /// Takes the bridge down, or only our addresses off it when it was there before us.
    pub(super) fn remove_bridge(&mut self, network: &Network, settings: &BridgeSettings) -> Result<(), Error> {
        let Some(name) = &network.bridge else { return Ok(()) };
        let action = format!("remove bridge {name}");
        if let Some(overlay) = network.overlay {
            if overlay.mesh {
                self.close_mesh(network)?;
            }
            self.remove_tunnel(network)?;
        }
        let Some(link) = self.rtnl.link(name).map_err(refused(action.clone()))? else { return Ok(()) };
        let mut batch = Batch::default();
        match &network.existing {
            None => batch.delete_link(name),
            Some(_) if !link.bridge => {}
            Some(before) => {
                for (address, prefix) in bridge_addresses(network, settings) {
                    if !before.contains(&address) {
                        batch.delete_address(link.index, address, prefix);
                    }
                }
            }
        }
        self.rtnl.send(batch).map_err(refused_batch(action))
    }
}

fn bridge_addresses(network: &Network, settings: &BridgeSettings) -> Vec<(IpAddr, u8)> {
    let all = network.spec.ipam.config.iter().filter_map(|c| Some((c.gateway?, c.subnet?.prefix())));
    all.filter(|(address, _)| address.is_ipv6() || !settings.inhibit_ipv4).collect()
}

/// A locally administered address that stays the same for a network's life.
fn bridge_mac(network: &Network) -> MacAddress {
    if network.overlay.is_some_and(|overlay| overlay.mesh)
        && let Some(gateway) = network.gateway(false)
    {
        // Other machines send here what is for containers of this one.
        return MacAddress::standing_for(gateway);
    }
    let hash = fnv(network.id.as_bytes()).to_be_bytes();
    MacAddress([0x02, 0x42, hash[0], hash[1], hash[2], hash[3]])
}
