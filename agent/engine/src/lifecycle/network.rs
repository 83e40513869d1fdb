//! What a container's description means for the network crate.

use std::net::IpAddr;

use hoist_network::{AttachRequest, ConnectRequest, DnsConfig, Endpoint, Network, PortRange, PortRequest, Protocol};
use hoist_proto::spec::{ContainerSpec, NetworkAttachment, NetworkMode, PortSpec};

use crate::container::{Handle, Record};
use crate::events::Actor;
use crate::inner::Inner;
use crate::wide::Joining;
use crate::{EngineError, Result};

/// The network that containers are on which name none.
pub(super) const DEFAULT: &str = "bridge";

/// Everything that a start asks of the networks; `None` when the container lives in another's namespace.
pub(super) fn attach_request(record: &Record) -> Result<Option<AttachRequest>> {
    let spec = &record.spec;
    let dns = dns(spec)?;
    match &spec.network_mode {
        NetworkMode::Host | NetworkMode::Container(_) => Ok(None),
        NetworkMode::None => Ok(Some(AttachRequest { dns, ..AttachRequest::default() })),
        NetworkMode::Networks => {
            let mut networks =
                spec.networks.iter().map(|network| connect_request(record, network)).collect::<Result<Vec<_>>>()?;
            if networks.is_empty() {
                let network = NetworkAttachment { network: DEFAULT.into(), ..NetworkAttachment::default() };
                networks.push(connect_request(record, &network)?);
            }
            let mut ports: Vec<PortRequest> = spec.ports.iter().map(port_request).collect();
            if spec.publish_all {
                ports.extend(exposed(record));
            }
            Ok(Some(AttachRequest { networks, ports, dns }))
        }
    }
}

pub(super) fn connect_request(record: &Record, wish: &NetworkAttachment) -> Result<ConnectRequest> {
    let mut aliases = wish.aliases.clone();
    aliases.push(record.id.short().to_owned());
    if record.spec.hostname.as_ref().is_some_and(|name| !name.is_empty()) {
        aliases.push(record.effective.hostname.clone());
    }
    aliases.dedup();
    // On the default network, where nobody has a name, links are lines of `/etc/hosts`.
    let all = record.spec.links.iter().chain(&wish.links).filter(|_| wish.network != DEFAULT);
    let pair = |link: &String| {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        (alias.to_owned(), name.trim_start_matches('/').to_owned())
    };
    Ok(ConnectRequest {
        network: wish.network.clone(),
        ipv4: wish.ipv4,
        ipv6: wish.ipv6,
        link_local: wish.link_local.clone(),
        mac: wish.mac.as_deref().filter(|mac| !mac.is_empty()).map(str::parse).transpose()?,
        aliases,
        links: all.map(pair).collect(),
        names: vec![record.name.clone()],
        driver_opts: wish.driver_options.clone(),
        gw_priority: wish.gateway_priority.into(),
        priority: wish.priority.into(),
        interface_name: wish.interface_name.clone(),
    })
}

impl Inner {
    /// A network of this machine, or one of the cluster's, whose part here is made when it is asked for first.
    pub(crate) async fn find_network(&self, name: &str) -> Result<Network> {
        match self.options.networks.inspect(name).await {
            Err(error @ hoist_network::Error::NotFound(_)) => {
                let Some(wide) = self.wide() else { return Err(error.into()) };
                match wide.provide(name).await {
                    Ok(true) => Ok(self.options.networks.inspect(name).await?),
                    Ok(false) => Err(error.into()),
                    Err(why) => Err(EngineError::Conflict(format!("network {name} cannot be used here: {why}"))),
                }
            }
            found => Ok(found?),
        }
    }

    /// Asks the cluster for addresses on those networks that span machines. Answers which networks are meant.
    pub(super) async fn ask_wide(
        &self,
        handle: &Handle,
        record: &Record,
        requests: &mut [ConnectRequest],
    ) -> Result<Vec<Network>> {
        let mut networks = Vec::new();
        for request in requests {
            let network = self.find_network(&request.network).await?;
            networks.push(network.clone());
            let Some(wide) = self.wide().filter(|_| network.overlay.is_some()) else { continue };
            let asked = Joining {
                network: network.spec.name.clone(),
                container: handle.id.to_string(),
                labels: record.effective.labels.clone(),
                names: request.names.iter().chain(&request.aliases).cloned().collect(),
                ipv4: request.ipv4,
                ipv6: request.ipv6,
            };
            let given = wide.join(asked).await;
            for address in given.map_err(EngineError::Conflict)? {
                match address {
                    IpAddr::V4(v4) => request.ipv4 = Some(v4),
                    IpAddr::V6(v6) => request.ipv6 = Some(v6),
                }
            }
        }
        Ok(networks)
    }

    /// Tells that a container is on networks now, and keeps for its end which they are.
    pub(super) fn tell_connected(&self, handle: &Handle, networks: &[Network]) {
        let actors: Vec<Actor> = networks.iter().map(|network| actor(handle, network)).collect();
        handle.cell().connected.extend(actors.iter().cloned());
        for actor in actors {
            self.events.publish("network", "connect", actor);
        }
    }

    /// Tells that a container was taken off a network.
    pub(super) fn tell_disconnected(&self, handle: &Handle, network: &Network) {
        handle.cell().connected.retain(|actor| actor.id != network.id);
        self.events.publish("network", "disconnect", actor(handle, network));
    }

    /// Those networks that are none, and that a container is on all the same for who follows events.
    pub(super) async fn nominal(&self, mode: &NetworkMode) -> Vec<Network> {
        let name = match mode {
            NetworkMode::Host => "host",
            NetworkMode::None => "none",
            NetworkMode::Networks | NetworkMode::Container(_) => return Vec::new(),
        };
        self.options.networks.inspect(name).await.into_iter().collect()
    }

    /// Finds again which networks a container is on that an earlier daemon has started.
    pub(super) async fn remember_connected(&self, handle: &Handle) {
        let mut networks = self.nominal(&handle.record().spec.network_mode).await;
        for endpoint in self.options.networks.endpoints_of(handle.id.as_str()).await {
            networks.extend(self.options.networks.inspect(&endpoint.network).await);
        }
        let actors = networks.iter().map(|network| actor(handle, network)).collect();
        handle.cell().connected = actors;
    }

    pub(super) fn leave_wide(&self, handle: &Handle, network: &Network) {
        if let Some(wide) = self.wide().filter(|_| network.overlay.is_some()) {
            wide.leave(handle.id.as_str(), Some(&network.spec.name));
        }
    }
}

/// A network as the events of a container on it name it.
fn actor(handle: &Handle, network: &Network) -> Actor {
    let attributes = [
        ("container".to_owned(), handle.id.to_string()),
        ("name".to_owned(), network.spec.name.clone()),
        ("type".to_owned(), network.spec.driver.clone()),
    ];
    Actor { id: network.id.clone(), attributes: attributes.into() }
}

fn protocol(protocol: hoist_proto::spec::Protocol) -> Protocol {
    match protocol {
        hoist_proto::spec::Protocol::Tcp => Protocol::Tcp,
        hoist_proto::spec::Protocol::Udp => Protocol::Udp,
        hoist_proto::spec::Protocol::Sctp => Protocol::Sctp,
    }
}

fn port_request(port: &PortSpec) -> PortRequest {
    let range = |(first, last)| PortRange { first, last };
    PortRequest {
        host_ip: port.host_ip,
        host_ports: port.host_port.filter(|(first, _)| *first != 0).map(range),
        container_ports: range(port.container_port),
        protocol: protocol(port.protocol),
    }
}

/// Exposed ports that are not published by name.
fn exposed(record: &Record) -> Vec<PortRequest> {
    let parse = |text: &String| {
        let (number, word) = text.split_once('/')?;
        Some((number.parse::<u16>().ok()?, word.parse::<hoist_proto::spec::Protocol>().ok()?))
    };
    record
        .effective
        .exposed_ports
        .iter()
        .filter_map(parse)
        .filter(|(number, kind)| {
            !record
                .spec
                .ports
                .iter()
                .any(|port| port.protocol == *kind && (port.container_port.0..=port.container_port.1).contains(number))
        })
        .map(|(number, kind)| PortRequest {
            host_ip: None,
            host_ports: None,
            container_ports: number.into(),
            protocol: protocol(kind),
        })
        .collect()
}

pub(super) fn dns(spec: &ContainerSpec) -> Result<DnsConfig> {
    let servers = spec.dns.iter().map(|text| {
        text.parse().map_err(|_| EngineError::InvalidParameter(format!("{text:?} is not the address of a name server")))
    });
    Ok(DnsConfig {
        servers: servers.collect::<Result<_>>()?,
        search: spec.dns_search.clone(),
        options: spec.dns_options.clone(),
    })
}

/// The addresses that a container's own name has.
pub(super) fn addresses(endpoints: &[Endpoint]) -> Vec<IpAddr> {
    endpoints
        .iter()
        .flat_map(|endpoint| {
            let v4 = endpoint.ipv4.map(|(address, _)| IpAddr::V4(address));
            let v6 = endpoint.ipv6.map(|(address, _)| IpAddr::V6(address));
            v4.into_iter().chain(v6)
        })
        .collect()
}
