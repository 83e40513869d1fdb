//! Finding again what an earlier daemon left, and clearing away what nobody owns.

use std::collections::HashSet;
use std::net::IpAddr;

use super::endpoint::{pools, set_port};
use super::network::{bridge_of, is_direct};
use super::publish::forwards;
use super::secure::PIN;
use super::{Container, Core, Kind, Live, Net, bridge, refused, refused_batch};
use crate::error::Error;
use crate::firewall::{BridgeRules, Forward, MeshRules};
use crate::model::{IpamConfig, Network, NetworkSpec};
use crate::netlink::{Batch, Refusal};
use crate::netns;
use crate::sandbox::Prepared;
use crate::settings::BridgeSettings;
use crate::store::Record;

/// The name of the network for containers that name none.
const DEFAULT: &str = "bridge";

impl Core {
    /// Networks from their files, containers from their records, rules from both.
    pub(crate) fn restore(&mut self) -> Result<(), Error> {
        self.adopt_secure()?;
        for network in self.store.load_networks()? {
            let built = if network.spec.config_only {
                Ok(Net { network: network.clone(), kind: Kind::Config })
            } else if is_direct(&network.spec.driver) {
                self.build_direct(&network)
            } else {
                BridgeSettings::parse(&network.spec, self.options.mtu).and_then(|mut settings| {
                    self.fit_tunnel(&network, &mut settings)?;
                    self.build(&network, &settings)
                })
            };
            // One network that cannot be is no reason to leave all others without a daemon.
            let net = built.unwrap_or_else(|error| {
                let reason = explain(&error);
                tracing::error!(network = network.spec.name, reason, "the network cannot be made again");
                Net { network: network.clone(), kind: Kind::Unusable(reason) }
            });
            if network.is_encrypted() {
                self.untold.insert(network.id.clone());
            }
            self.networks.insert(network.id.clone(), net);
        }
        self.drop_unused_secure()?;
        // Empty of containers at first: the predefined networks need a table to go into.
        self.rebuild_firewall()?;
        self.predefine()?;
        for record in self.store.load_records()? {
            let container = record.container.clone();
            if let Err(error) = self.adopt(record) {
                tracing::warn!(%error, container, "the container's network cannot be taken over");
            }
        }
        self.renew_default()?;
        self.rebuild_firewall()
    }

    /// Tries again to make a network that could not be made when the daemon started: the link that it needs may have
    /// come later. True when it is new here; one that works is left alone.
    pub(crate) fn revive(&mut self, name: &str) -> Result<bool, Error> {
        let net = self.find(name)?;
        if !matches!(net.kind, Kind::Unusable(_)) {
            return Ok(false);
        }
        let network = net.network.clone();
        let mut settings = BridgeSettings::parse(&network.spec, self.options.mtu)?;
        self.fit_tunnel(&network, &mut settings)?;
        let net = self.build(&network, &settings)?;
        self.networks.insert(network.id.clone(), net);
        self.rebuild_firewall().map(|()| true)
    }

    fn rebuild_firewall(&mut self) -> Result<(), Error> {
        self.replace_firewall().map_err(refused("write the firewall's table"))
    }

    /// Writes all rules anew, in one step.
    pub(super) fn replace_firewall(&mut self) -> Result<(), Refusal> {
        let bridges: Vec<BridgeRules> = self
            .networks
            .values()
            .filter(|n| matches!(n.kind, Kind::Bridge(_)))
            .map(|n| bridge_of(n).rules.clone())
            .collect();
        let all: Vec<Forward> =
            self.containers.values().flat_map(|c| forwards(&c.record.ports, &self.target(&c.record))).collect();
        let mesh =
            MeshRules { bridges: self.mesh_bridges(), machines: self.mesh_machines(), forwards: self.mesh_forwards() };
        self.firewall.replace(&bridges, &all, &mesh)
    }

    /// `bridge`, `host` and `none`, as every machine has them.
    fn predefine(&mut self) -> Result<(), Error> {
        for (name, driver, kind) in [("host", "host", Kind::Host), ("none", "null", Kind::None)] {
            let mut spec = NetworkSpec { name: name.into(), driver: driver.into(), ..NetworkSpec::default() };
            spec.enable_ipv4 = false;
            let id = crate::ident::derived_id(&format!("{}/{name}", self.options.instance));
            let created = jiff::Timestamp::UNIX_EPOCH;
            let network = Network { id: id.clone(), created, spec, bridge: None, existing: None, overlay: None };
            self.networks.insert(id, Net { network, kind });
        }
        if self.networks.values().any(|n| n.network.spec.name == DEFAULT) {
            return Ok(());
        }
        self.create_bridge_network(self.default_spec(), Some(self.default_bridge()), None).map(drop)
    }

    fn default_bridge(&self) -> String {
        self.options.bridge.clone().unwrap_or_else(|| match self.options.instance.as_str() {
            "" => "hoist0".into(),
            instance => format!("hoist-{instance}"),
        })
    }

    /// The default network as the settings want it.
    fn default_spec(&self) -> NetworkSpec {
        let options = &self.options;
        let mut spec =
            NetworkSpec { name: DEFAULT.into(), options: options.default_options.clone(), ..NetworkSpec::default() };
        spec.enable_ipv6 = options.default_ipv6;
        for subnet in &options.default_subnets {
            spec.enable_ipv6 |= subnet.is_ipv6();
            let within = |address: &&IpAddr| subnet.contains(**address);
            let mut config = IpamConfig { subnet: Some(*subnet), ..IpamConfig::default() };
            config.gateway = options.default_gateways.iter().find(within).copied();
            config.ip_range = options.default_ranges.iter().find(|range| subnet.covers(**range)).copied();
            if let Some(router) = options.default_routers.iter().find(within) {
                let name = if subnet.is_ipv6() { "DefaultGatewayIPv6" } else { "DefaultGatewayIPv4" };
                config.aux_addresses.insert(name.into(), *router);
            }
            spec.ipam.config.push(config);
        }
        spec
    }

    /// Makes the default network anew when the settings want another than it is. While containers are on it, it stays.
    fn renew_default(&mut self) -> Result<(), Error> {
        let (wanted, bridge) = (self.default_spec(), self.default_bridge());
        let Some(net) = self.networks.values().find(|n| n.network.spec.name == DEFAULT) else { return Ok(()) };
        let network = net.network.clone();
        let is = &network.spec;
        let fits = |config: &IpamConfig| {
            is.ipam.config.iter().any(|have| {
                have.subnet == config.subnet
                    && config.gateway.is_none_or(|gateway| have.gateway == Some(gateway))
                    && have.ip_range == config.ip_range
                    && have.aux_addresses == config.aux_addresses
            })
        };
        let same = is.options == wanted.options && network.bridge.as_ref() == Some(&bridge);
        // Without a word of the settings the subnets that it has are as good as others.
        let all = wanted.ipam.config.iter().all(fits) && (is.enable_ipv6 || !wanted.enable_ipv6);
        if same && all {
            return Ok(());
        }
        if self.containers.values().any(|c| c.record.endpoints.iter().any(|e| e.network == network.id)) {
            tracing::warn!("the default network stays as it is while containers are on it; other settings come later");
            return Ok(());
        }
        self.store.remove_network(&network.id)?;
        let net = self.networks.remove(&network.id);
        self.directory.forget_network(&network.id);
        if let Some(Net { kind: Kind::Bridge(old), .. }) = net {
            self.change_firewall(|f| f.remove_bridge(&old.rules))
                .map_err(refused("remove the firewall rules of the default network"))?;
            self.remove_bridge(&network, &old.settings)?;
        }
        self.create_bridge_network(wanted, Some(bridge), None).map(drop)
    }

    /// Writes the rules again if somebody has emptied the host's ruleset.
    pub(crate) fn mend(&mut self) {
        let mended = match self.firewall.exists() {
            Ok(false) => self.replace_firewall(),
            other => other.map(drop),
        };
        if let Err(error) = mended {
            tracing::warn!(%error, "the firewall's table cannot be looked after");
        }
    }

    /// Takes a container over from its record.
    fn adopt(&mut self, record: Record) -> Result<(), Error> {
        let container = record.container.clone();
        let path = self.store.namespace(&container);
        if record.sandbox && !netns::is_pinned(&path) {
            // The machine was started anew, or somebody unmounted it: nothing of it is left.
            return self.store.remove_record(&container);
        }
        let mut held = Container { record, live: None, resolver: None };
        if held.record.sandbox {
            let prepared =
                Prepared::adopt(&path).map_err(|source| Error::Namespace { path, action: "enter", source })?;
            let (live, resolver) = Live::new(prepared);
            (held.live, held.resolver) = (Some(live), Some(resolver));
        }
        for endpoint in &held.record.endpoints {
            if let Some((pool4, pool6)) = self.networks.get_mut(&endpoint.network).and_then(pools) {
                if let (Some(pool), Some((a, _))) = (pool4, endpoint.ipv4) {
                    pool.take_static(IpAddr::V4(a), &container)?;
                }
                if let (Some(pool), Some((a, _))) = (pool6, endpoint.ipv6) {
                    pool.take_static(IpAddr::V6(a), &container)?;
                }
                self.reattach(endpoint)?;
            }
            if endpoint.interface.is_some() {
                self.directory.join(endpoint);
            }
        }
        self.directory.set_healthy(&container, !held.record.unhealthy);
        self.ports.adopt(&container, &held.record.ports, &self.target(&held.record));
        self.containers.insert(container.clone(), held);
        self.serve(&container);
        Ok(())
    }

    /// A bridge that had to be made anew has lost its ports.
    pub(super) fn reattach(&mut self, endpoint: &crate::model::Endpoint) -> Result<(), Error> {
        let (Some(host), Some(net)) = (&endpoint.host_interface, self.networks.get(&endpoint.network)) else {
            return Ok(());
        };
        let Kind::Bridge(bridge) = &net.kind else { return Ok(()) };
        let action = format!("connect container {} to network {}", endpoint.container, endpoint.network_name);
        let link = self.rtnl.link(host).map_err(refused(action.clone()))?;
        if link.is_some_and(|l| l.master != Some(bridge.index)) {
            let mut batch = Batch::default();
            batch.set_master(host, bridge.index);
            set_port(&mut batch, host, bridge);
            batch.set_up(host);
            self.rtnl.send(batch).map_err(refused_batch(action))?;
        }
        Ok(())
    }

    /// Releases what belongs to containers that are no more, then what belongs to nobody: pins
    /// without a record, and bridges whose network never came to be written down.
    pub(crate) fn reconcile(&mut self, live: &[String]) -> Result<(), Error> {
        let live: HashSet<&str> = live.iter().map(String::as_str).collect();
        let dead: Vec<String> = self.containers.keys().filter(|c| !live.contains(c.as_str())).cloned().collect();
        let mut result = Ok(());
        for container in dead {
            result = result.and(self.release(&container));
        }
        for name in self.store.namespaces()? {
            if !self.containers.contains_key(&name) && name != PIN {
                let path = self.store.namespace(&name);
                let unpinned = netns::unpin(&path).map_err(|source| Error::Namespace { path, action: "unpin", source });
                result = result.and(unpinned);
            }
        }
        result.and(self.remove_orphans())
    }

    fn remove_orphans(&mut self) -> Result<(), Error> {
        let ours = bridge::label(&self.options.instance, "");
        let mut batch = Batch::default();
        for link in self.rtnl.links().map_err(refused("list links"))? {
            let network = link.alias.as_deref().and_then(|a| a.strip_prefix(&ours));
            if network.is_some_and(|id| !self.networks.contains_key(id)) {
                batch.delete_link(&link.name);
            }
        }
        match self.rtnl.send(batch) {
            // What led through an encrypted tunnel goes with it, at any moment.
            Err((_, refusal)) if refusal.errno == nix::errno::Errno::ENODEV => Ok(()),
            sent => sent.map_err(refused_batch("remove bridges")),
        }
    }

    /// What a person should know about the host.
    pub(crate) fn warnings(&mut self) -> Vec<String> {
        let dropping = self.firewall.dropping_forward_chains().unwrap_or_default();
        dropping
            .into_iter()
            .map(|(family, table)| {
                let family = match i32::from(family) {
                    libc::NFPROTO_IPV4 => "ip",
                    libc::NFPROTO_IPV6 => "ip6",
                    _ => "inet",
                };
                format!(
                    "the host's firewall (table {family} {table}) drops forwarded packets by default: \
                     containers reach other machines, and others reach published ports, only as its rules allow"
                )
            })
            .collect()
    }
}

/// An error with its causes, in one line.
fn explain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
