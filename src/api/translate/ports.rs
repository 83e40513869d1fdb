//! Exposed and published ports.

use std::net::IpAddr;

use hoist_proto::spec::{ContainerSpec, PortSpec, Protocol, PublishMode};

use super::create::parsed;
use crate::api::{
    dto::{config::Config, endpoint::PortBinding, host_config::HostConfig},
    error::ApiError,
};

pub fn apply(spec: &mut ContainerSpec, config: &Config, host: &HostConfig) -> Result<(), ApiError> {
    for key in config.exposed_ports.keys() {
        let (range, protocol) = container_ports(key)?;
        spec.expose.push(show(range, protocol));
    }
    for (key, bindings) in &host.port_bindings {
        let (range, protocol) = container_ports(key)?;
        // An empty list is one binding to a port of the engine's choice.
        let unspecified = [PortBinding::default()];
        let bindings = match bindings.as_deref() {
            None | Some([]) => &unspecified[..],
            Some(list) => list,
        };
        for binding in bindings {
            spec.ports.push(published(range, protocol, binding)?);
        }
        let shown = show(range, protocol);
        if !spec.expose.contains(&shown) {
            spec.expose.push(shown);
        }
    }
    spec.publish_all = host.publish_all_ports;
    Ok(())
}

fn show((first, last): (u16, u16), protocol: Protocol) -> String {
    if first == last { format!("{first}/{protocol}") } else { format!("{first}-{last}/{protocol}") }
}

/// `80`, `80/tcp`, `8000-8010/udp`.
fn container_ports(key: &str) -> Result<((u16, u16), Protocol), ApiError> {
    let (ports, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    let protocol = parsed("protocol of port", protocol, "tcp, udp or sctp")?;
    let range = range("port", ports)?;
    if range.0 == 0 {
        return Err(ApiError::bad_request(format!("invalid port {key:?}: 0 is no port")));
    }
    Ok((range, protocol))
}

fn range(field: &str, text: &str) -> Result<(u16, u16), ApiError> {
    let expected = "a port or a range of ports";
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range: (u16, u16) = (parsed(field, first, expected)?, parsed(field, last, expected)?);
    if range.0 <= range.1 {
        Ok(range)
    } else {
        Err(ApiError::bad_request(format!("invalid {field} {text:?}: the range is empty")))
    }
}

fn published(range_in: (u16, u16), protocol: Protocol, binding: &PortBinding) -> Result<PortSpec, ApiError> {
    let host_ip: Option<IpAddr> = match binding.host_ip.trim_start_matches('[').trim_end_matches(']') {
        "" => None,
        text => Some(parsed("IP address to publish on", text, "an IPv4 or IPv6 address")?),
    };
    let host_port = match binding.host_port.as_str() {
        "" | "0" => None,
        text => Some(range("host port", text)?),
    };
    Ok(PortSpec {
        host_ip,
        host_port,
        container_port: range_in,
        protocol,
        mode: PublishMode::Host,
        name: None,
        app_protocol: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::dto::Empty;

    fn ports(key: &str, ip: &str, port: &str) -> Result<ContainerSpec, ApiError> {
        let binding = PortBinding { host_ip: ip.to_owned(), host_port: port.to_owned() };
        let host =
            HostConfig { port_bindings: [(key.to_owned(), Some(vec![binding]))].into(), ..HostConfig::default() };
        let config = Config { exposed_ports: [("9/udp".to_owned(), Empty {})].into(), ..Config::default() };
        let mut spec = ContainerSpec::default();
        apply(&mut spec, &config, &host)?;
        Ok(spec)
    }

    #[test]
    fn one_port_and_a_range() {
        let spec = ports("80/tcp", "127.0.0.1", "8080").unwrap();
        assert_eq!(spec.expose, ["9/udp", "80/tcp"]);
        assert_eq!(spec.ports[0].host_port, Some((8080, 8080)));
        let spec = ports("80", "[::1]", "8080-8090").unwrap();
        assert_eq!(spec.ports[0].host_port, Some((8080, 8090)));
        assert_eq!(spec.ports[0].host_ip, Some("::1".parse().unwrap()));
        assert_eq!(ports("80", "", "").unwrap().ports[0].host_port, None);
    }

    #[test]
    fn nonsense_is_refused() {
        for (key, ip, port) in [
            ("x", "", ""),
            ("0/tcp", "", ""),
            ("80/icmp", "", ""),
            ("80", "localhost", ""),
            ("80", "", "70000"),
            ("80", "", "9-8"),
        ] {
            assert_eq!(ports(key, ip, port).unwrap_err().status, 400, "{key} {ip} {port}");
        }
    }
}
