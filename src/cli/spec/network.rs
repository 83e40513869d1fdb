//! Networks, names and addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{SpecError, env::key_values};
use crate::{
    api::dto::{
        config::Config,
        endpoint::{EndpointIpamConfig, EndpointSettings},
        host_config::HostConfig,
    },
    cli::args::{create::NetworkFlags, network::ConnectArgs},
};

pub fn apply(flags: &NetworkFlags, config: &mut Config, host: &mut HostConfig) -> Result<(), SpecError> {
    host.dns = flags.dns.clone();
    host.dns_options = flags.dns_option.clone();
    host.dns_search = flags.dns_search.clone();
    let hosts = flags.add_host.iter().map(|text| extra_host(text)).collect::<Result<Vec<_>, _>>()?;
    host.extra_hosts = (!hosts.is_empty()).then_some(hosts);
    host.links = (!flags.link.is_empty()).then(|| flags.link.clone());

    let mut networks = flags.network.iter().map(|text| network(text)).collect::<Result<Vec<_>, _>>()?;
    let shared = EndpointSettings {
        aliases: (!flags.network_alias.is_empty()).then(|| flags.network_alias.clone()),
        mac_address: flags.mac_address.clone().unwrap_or_default(),
        ipam_config: ipam(flags.ip, flags.ip6, flags.link_local_ip.iter().map(ToString::to_string).collect()),
        ..EndpointSettings::default()
    };
    let has_shared = shared != EndpointSettings::default();
    if networks.is_empty() && has_shared {
        networks.push(("default".to_owned(), EndpointSettings::default()));
    }
    if let Some((name, first)) = networks.first_mut() {
        host.network_mode = name.clone();
        if has_shared {
            merge(name, first, shared)?;
        }
    }
    let several = networks.len() > 1;
    for (name, settings) in networks {
        let special = matches!(name.as_str(), "none" | "host") || name.starts_with("container:");
        if special && several {
            return Err(SpecError::value("network", &name, "it cannot be one of several networks"));
        }
        if special && settings != EndpointSettings::default() {
            return Err(SpecError::value("network", &name, "addresses and aliases need a network of its own"));
        }
        if special || (name == "default" && settings == EndpointSettings::default()) {
            continue;
        }
        let name = if name == "default" { "bridge".to_owned() } else { name };
        let endpoints = &mut config.networking_config.get_or_insert_default().endpoints_config;
        if endpoints.insert(name.clone(), settings).is_some() {
            return Err(SpecError::value("network", &name, "given twice"));
        }
    }
    Ok(())
}

/// `NAME`, or `name=NAME,alias=…,ip=…,…`.
fn network(text: &str) -> Result<(String, EndpointSettings), SpecError> {
    let fail = |reason: String| SpecError::value("network", text, reason);
    let mut settings = EndpointSettings::default();
    if !text.contains('=') || text.starts_with("container:") {
        if text.is_empty() {
            return Err(fail("the name is missing".to_owned()));
        }
        return Ok((text.to_owned(), settings));
    }
    let (mut name, mut ip, mut ip6, mut link_local) = (None, None, None, Vec::new());
    for field in text.split(',') {
        let (key, value) = field.split_once('=').ok_or_else(|| fail(format!("{field:?} is not KEY=VALUE")))?;
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => name = Some(value.to_owned()),
            "alias" => settings.aliases.get_or_insert_default().push(value.to_owned()),
            "ip" => ip = Some(value.parse().map_err(|_| fail(format!("{value:?} is not an IPv4 address")))?),
            "ip6" => ip6 = Some(value.parse().map_err(|_| fail(format!("{value:?} is not an IPv6 address")))?),
            "link-local-ip" => link_local.push(value.to_owned()),
            "mac-address" => settings.mac_address = value.to_owned(),
            "gw-priority" => {
                settings.gw_priority = value.parse().map_err(|_| fail(format!("{value:?} is not a number")))?;
            }
            "driver-opt" => {
                let (key, value) = value.split_once('=').ok_or_else(|| fail(format!("{value:?} is not KEY=VALUE")))?;
                settings.driver_opts.get_or_insert_default().insert(key.to_owned(), value.to_owned());
            }
            other => return Err(fail(format!("unknown field {other:?}"))),
        }
    }
    settings.ipam_config = ipam(ip, ip6, link_local);
    Ok((name.ok_or_else(|| fail("name=… is missing".to_owned()))?, settings))
}

fn ipam(ip: Option<Ipv4Addr>, ip6: Option<Ipv6Addr>, link_local: Vec<String>) -> Option<EndpointIpamConfig> {
    let config = EndpointIpamConfig {
        ipv4_address: ip.map(|ip| ip.to_string()).unwrap_or_default(),
        ipv6_address: ip6.map(|ip| ip.to_string()).unwrap_or_default(),
        link_local_ips: link_local,
    };
    (config != EndpointIpamConfig::default()).then_some(config)
}

/// The flags that speak of "the network" mean the first one.
fn merge(name: &str, settings: &mut EndpointSettings, shared: EndpointSettings) -> Result<(), SpecError> {
    let twice = |field: &str| SpecError::value("network", name, format!("{field} is given twice"));
    if let Some(aliases) = shared.aliases {
        settings.aliases.get_or_insert_default().extend(aliases);
    }
    if !shared.mac_address.is_empty() {
        if !settings.mac_address.is_empty() {
            return Err(twice("the MAC address"));
        }
        settings.mac_address = shared.mac_address;
    }
    if shared.ipam_config.is_some() {
        if settings.ipam_config.is_some() {
            return Err(twice("the address"));
        }
        settings.ipam_config = shared.ipam_config;
    }
    Ok(())
}

/// `NAME:IP` or `NAME=IP`; what follows the first separator is the address.
fn extra_host(text: &str) -> Result<String, SpecError> {
    let fail = |reason: &str| SpecError::value("add-host", text, reason);
    let (name, address) =
        text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(|| fail("expected NAME:IP"))?;
    if name.is_empty() {
        return Err(fail("the name is missing"));
    }
    let bare = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address);
    if bare != "host-gateway" && bare.parse::<std::net::IpAddr>().is_err() {
        return Err(fail("the address is not one"));
    }
    Ok(format!("{name}:{bare}"))
}

/// What `network connect` asks for.
///
/// # Errors
/// [`SpecError`], naming the flag and its value.
pub fn endpoint(args: &ConnectArgs) -> Result<EndpointSettings, SpecError> {
    let opts = key_values("driver-opt", &args.driver_opts, '=')?;
    Ok(EndpointSettings {
        ipam_config: ipam(args.ip, args.ip6, args.link_local_ips.iter().map(ToString::to_string).collect()),
        links: (!args.links.is_empty()).then(|| args.links.clone()),
        aliases: (!args.aliases.is_empty()).then(|| args.aliases.clone()),
        driver_opts: (!opts.is_empty()).then_some(opts),
        gw_priority: i32::try_from(args.gw_priority.unwrap_or(0))
            .map_err(|_| SpecError::value("gw-priority", &args.gw_priority.unwrap_or(0).to_string(), "too large"))?,
        ..EndpointSettings::default()
    })
}
