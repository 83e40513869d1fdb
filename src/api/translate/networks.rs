//! `NetworkMode` and `NetworkingConfig`.

use hoist_proto::spec::{ContainerSpec, NetworkAttachment, NetworkMode};

use super::create::{parsed, text};
use crate::api::{
    dto::{
        config::Config,
        endpoint::{EndpointSettings, NetworkingConfig},
        host_config::HostConfig,
    },
    error::ApiError,
};

/// The driver option by which Docker's clients name the interface in the container.
const INTERFACE: &str = "com.docker.network.endpoint.ifname";

pub fn apply(
    spec: &mut ContainerSpec,
    config: &Config,
    host: &HostConfig,
    networking: NetworkingConfig,
) -> Result<(), ApiError> {
    let mode = host.network_mode.as_str();
    let mut endpoints = networking.endpoints_config;
    let alone = match mode {
        "none" => Some(NetworkMode::None),
        "host" => Some(NetworkMode::Host),
        _ => match mode.strip_prefix("container:") {
            Some("") => return Err(ApiError::bad_request("invalid network mode: container: needs a name or id")),
            Some(name) => Some(NetworkMode::Container(name.to_owned())),
            None => None,
        },
    };
    if let Some(alone) = alone {
        refuse_beside(mode, config, host, endpoints.keys().find(|name| name.as_str() != mode))?;
        spec.network_mode = alone;
        return Ok(());
    }
    let named = match mode {
        "" | "default" => ["default", "bridge"].into_iter().find(|name| endpoints.contains_key(*name)),
        name => Some(name),
    };
    if let Some(name) = named {
        let settings = endpoints.remove(name).unwrap_or_default();
        let network = if name == "default" { "bridge" } else { name };
        let mut first = endpoint(network, settings)?;
        if first.mac.is_none() {
            first.mac = config.mac_address.clone().filter(|mac| !mac.is_empty());
        }
        spec.networks.push(first);
    }
    for (name, settings) in endpoints {
        let next = endpoint(&name, settings)?;
        spec.networks.push(next);
    }
    if let Some(mac) = config.mac_address.as_ref().filter(|mac| !mac.is_empty()) {
        if spec.networks.is_empty() {
            let network = "bridge".to_owned();
            spec.networks.push(NetworkAttachment { network, mac: Some(mac.clone()), ..NetworkAttachment::default() });
        } else if spec.networks[0].mac.as_ref() != Some(mac) {
            return Err(ApiError::bad_request(
                "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
            ));
        }
    }
    Ok(())
}

/// What a container that has no network of its own cannot have.
fn refuse_beside(mode: &str, config: &Config, host: &HostConfig, other: Option<&String>) -> Result<(), ApiError> {
    let conflict = |what: &str| Err(ApiError::bad_request(format!("conflicting options: {what} and the network mode")));
    if let Some(other) = other {
        return Err(ApiError::bad_request(format!(
            "container cannot be connected to network {other} with network mode {mode}"
        )));
    }
    if mode.starts_with("container:") {
        if !config.hostname.is_empty() {
            return conflict("hostname");
        }
        if !host.dns.is_empty() {
            return conflict("dns");
        }
        if host.extra_hosts.as_ref().is_some_and(|list| !list.is_empty()) {
            return conflict("custom host-to-IP mapping");
        }
        if !host.port_bindings.is_empty() || host.publish_all_ports {
            return conflict("port publishing");
        }
        if !config.exposed_ports.is_empty() {
            return conflict("port exposing");
        }
    }
    if host.links.as_ref().is_some_and(|list| !list.is_empty()) {
        return conflict("links");
    }
    if config.mac_address.as_ref().is_some_and(|mac| !mac.is_empty()) {
        return conflict("mac-address");
    }
    Ok(())
}

/// A wish to be on a network, as `connect` and `create` say it.
///
/// # Errors
/// 400 for what is not an address.
pub fn endpoint(network: &str, settings: EndpointSettings) -> Result<NetworkAttachment, ApiError> {
    if network.is_empty() {
        return Err(ApiError::bad_request("a network without a name"));
    }
    let ipam = settings.ipam_config.unwrap_or_default();
    let mut driver_options = settings.driver_opts.unwrap_or_default();
    Ok(NetworkAttachment {
        network: network.to_owned(),
        aliases: settings.aliases.unwrap_or_default(),
        links: settings.links.unwrap_or_default(),
        ipv4: text(ipam.ipv4_address).map(|text| parsed("IPv4 address", &text, "four numbers")).transpose()?,
        ipv6: text(ipam.ipv6_address).map(|text| parsed("IPv6 address", &text, "an IPv6 address")).transpose()?,
        link_local: ipam
            .link_local_ips
            .iter()
            .map(|text| parsed("link-local address", text, "an IP address"))
            .collect::<Result<_, _>>()?,
        mac: text(settings.mac_address),
        interface_name: driver_options.remove(INTERFACE),
        driver_options,
        priority: 0,
        gateway_priority: settings.gw_priority,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::body;

    fn networks(json: &str) -> Result<ContainerSpec, ApiError> {
        let mut config: Config = body::parse(json.as_bytes())?;
        let host = *config.host_config.take().unwrap_or_default();
        let networking = config.networking_config.take().unwrap_or_default();
        let mut spec = ContainerSpec::default();
        apply(&mut spec, &config, &host, networking)?;
        Ok(spec)
    }

    #[test]
    fn the_mode_s_network_comes_first() {
        let spec = networks(
            r#"{"HostConfig":{"NetworkMode":"web"},"NetworkingConfig":{"EndpointsConfig":{
                "api":{"Aliases":["x"]},"web":{"IPAMConfig":{"IPv4Address":"10.1.0.5"},"GwPriority":3}}}}"#,
        )
        .unwrap();
        let names: Vec<&str> = spec.networks.iter().map(|network| network.network.as_str()).collect();
        assert_eq!(names, ["web", "api"]);
        assert_eq!(spec.networks[0].ipv4, Some([10, 1, 0, 5].into()));
        assert_eq!(spec.networks[0].gateway_priority, 3);
        assert_eq!(spec.networks[1].aliases, ["x"]);
    }

    #[test]
    fn modes_without_networks() {
        assert_eq!(networks(r#"{"HostConfig":{"NetworkMode":"default"}}"#).unwrap().networks, []);
        assert_eq!(networks(r#"{"HostConfig":{"NetworkMode":"host"}}"#).unwrap().network_mode, NetworkMode::Host);
        let other = r#"{"HostConfig":{"NetworkMode":"none"},"NetworkingConfig":{"EndpointsConfig":{"web":{}}}}"#;
        assert!(networks(other).unwrap_err().message.contains("network web"));
        let ports = r#"{"HostConfig":{"NetworkMode":"container:a","PortBindings":{"80/tcp":[]}}}"#;
        assert!(networks(ports).unwrap_err().message.contains("port publishing"));
    }
}
