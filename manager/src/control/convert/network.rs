//! Networks, addresses and ports.

use hoist_compose::model::{self, Project, Service};
use hoist_proto::spec::{IpamPool, IpamSpec, NetworkAttachment, NetworkMode, NetworkSpec, PortSpec, PublishMode};

use super::{DesiredResource, Problems, container::pairs, resource_labels, security::first_container};

/// The networks that a service is on, the most important first.
pub(super) fn keys(service: &Service) -> Vec<String> {
    if service.network_mode.is_some() {
        return Vec::new();
    }
    service.networks_by_priority().into_iter().map(str::to_owned).collect()
}

pub(super) fn network(
    project: &Project,
    key: &str,
    network: &model::Network,
    problems: &mut Problems,
) -> DesiredResource<NetworkSpec> {
    let mut address = |text: &Option<String>, what: &str| {
        let text = text.as_deref()?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            problems.of_project(format!("network {key:?}: {what} {text:?} is not an address"));
        }
        parsed
    };
    let mut pools = Vec::new();
    for pool in &network.ipam.config {
        let gateway = address(&pool.gateway, "gateway");
        let aux_addresses = pool
            .aux_addresses
            .iter()
            .filter_map(|(name, text)| Some((name.clone(), address(&Some(text.clone()), "auxiliary address")?)))
            .collect();
        pools.push(IpamPool { subnet: pool.subnet.clone(), ip_range: pool.ip_range.clone(), gateway, aux_addresses });
    }
    let own = network.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
    let spec = NetworkSpec {
        name: network.name.clone(),
        driver: network.driver.clone().unwrap_or_default(),
        options: pairs(&network.driver_opts),
        labels: resource_labels(&project.name, "network", key, own, network),
        internal: network.internal,
        attachable: network.attachable,
        ingress: false,
        enable_ipv4: network.enable_ipv4.unwrap_or(true),
        enable_ipv6: network.enable_ipv6.unwrap_or(false),
        ipam: IpamSpec {
            // Compose's word for the built-in one.
            driver: network.ipam.driver.clone().filter(|driver| driver != "default").unwrap_or_default(),
            options: pairs(&network.ipam.options),
            pools,
        },
    };
    DesiredResource { key: key.to_owned(), spec, external: network.external }
}

pub(super) fn mode(project: &Project, service: &Service, problems: &mut Problems) -> NetworkMode {
    match service.network_mode.as_deref() {
        None | Some("" | "bridge" | "default") => NetworkMode::Networks,
        Some("none") => NetworkMode::None,
        Some("host") => NetworkMode::Host,
        Some(text) => match (text.strip_prefix("service:"), text.strip_prefix("container:")) {
            (Some(other), _) => NetworkMode::Container(first_container(project, other)),
            (_, Some(container)) => NetworkMode::Container(container.to_owned()),
            _ => {
                problems.add(
                    &service.name,
                    format!("network_mode {text:?} is none of none, host, bridge, service:NAME and container:NAME"),
                );
                NetworkMode::Networks
            }
        },
    }
}

pub(super) fn attachments(project: &Project, service: &Service, problems: &mut Problems) -> Vec<NetworkAttachment> {
    let mut attachments = Vec::new();
    for (position, key) in keys(service).into_iter().enumerate() {
        let options = service.networks.get(&key).and_then(Option::as_ref).cloned().unwrap_or_default();
        let Some(network) = project.networks.get(&key) else {
            problems.add(&service.name, format!("network {key:?} is not defined"));
            continue;
        };
        let mut aliases = vec![service.name.clone()];
        aliases.extend(options.aliases.iter().filter(|alias| **alias != service.name).cloned());
        let mut fail = |what: &str, text: &str| {
            problems.add(&service.name, format!("network {key:?}: {what} {text:?} is not an address"));
        };
        let ipv4 =
            options.ipv4_address.as_deref().and_then(|text| text.parse().map_err(|_| fail("ipv4_address", text)).ok());
        let ipv6 =
            options.ipv6_address.as_deref().and_then(|text| text.parse().map_err(|_| fail("ipv6_address", text)).ok());
        let link_local = options
            .link_local_ips
            .iter()
            .filter_map(|text| text.parse().map_err(|_| fail("link-local address", text)).ok())
            .collect();
        let service_mac = service.mac_address.clone().filter(|_| position == 0);
        attachments.push(NetworkAttachment {
            network: network.name.clone(),
            aliases,
            links: Vec::new(),
            ipv4,
            ipv6,
            link_local,
            mac: options.mac_address.clone().or(service_mac),
            interface_name: options.interface_name.clone(),
            driver_options: pairs(&options.driver_opts),
            priority: options.priority.unwrap_or(0.0) as i32,
            gateway_priority: options.gw_priority.unwrap_or(0.0) as i32,
        });
    }
    attachments
}

pub(super) fn links(project: &Project, service: &Service) -> Vec<String> {
    let own = service.links.iter().map(|link| {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        format!("{}:{alias}", first_container(project, target))
    });
    own.chain(service.external_links.iter().cloned()).collect()
}

pub(super) fn ports(service: &Service, problems: &mut Problems) -> Vec<PortSpec> {
    let mut ports = Vec::new();
    for port in &service.ports {
        let mut fail = |what: String| problems.add(&service.name, format!("port {}: {what}", port.target));
        let protocol = match port.protocol().to_ascii_lowercase().parse() {
            Ok(protocol) => protocol,
            Err(error) => {
                fail(error);
                continue;
            }
        };
        let host_ip = match port.host_ip.as_deref().filter(|ip| !ip.is_empty()).map(str::parse) {
            None => None,
            Some(Ok(ip)) => Some(ip),
            Some(Err(_)) => {
                fail(format!("host_ip {:?} is not an address", port.host_ip.as_deref().unwrap_or_default()));
                continue;
            }
        };
        let host_port = port.published_range();
        if host_port.is_none() && port.published.as_deref().is_some_and(|text| !text.is_empty() && text != "0") {
            fail(format!(
                "published {:?} is neither a port nor a range",
                port.published.as_deref().unwrap_or_default()
            ));
        }
        let mode = match port.mode.as_deref() {
            None | Some("" | "ingress") => PublishMode::Ingress,
            Some("host") => PublishMode::Host,
            Some(other) => {
                fail(format!("mode {other:?} is neither ingress nor host"));
                continue;
            }
        };
        ports.push(PortSpec {
            host_ip,
            host_port,
            container_port: (port.target, port.target),
            protocol,
            mode,
            name: port.name.clone(),
            app_protocol: port.app_protocol.clone(),
        });
    }
    ports
}
