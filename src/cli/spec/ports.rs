//! `--publish` and `--expose`.

use std::{net::IpAddr, ops::RangeInclusive};

use super::SpecError;
use crate::{
    api::dto::{Empty, config::Config, endpoint::PortBinding, host_config::HostConfig},
    cli::args::create::NetworkFlags,
};

pub fn apply(flags: &NetworkFlags, config: &mut Config, host: &mut HostConfig) -> Result<(), SpecError> {
    for text in &flags.expose {
        let (ports, protocol) = port_and_protocol("expose", text, text)?;
        let ports = range(ports).map_err(|reason| SpecError::value("expose", text, reason))?;
        for port in ports {
            config.exposed_ports.insert(format!("{port}/{protocol}"), Empty {});
        }
    }
    for text in &flags.publish {
        for (port, binding) in publish(text)? {
            config.exposed_ports.insert(port.clone(), Empty {});
            host.port_bindings.entry(port).or_default().get_or_insert_default().push(binding);
        }
    }
    host.publish_all_ports = flags.publish_all;
    Ok(())
}

/// `[[IP:]HOST:]PORT[/PROTO]`, each port a number or a range.
fn publish(text: &str) -> Result<Vec<(String, PortBinding)>, SpecError> {
    let fail = |reason: String| SpecError::value("publish", text, reason);
    let (rest, protocol) = port_and_protocol("publish", text, text)?;
    let (before, inside) = rest.rsplit_once(':').map_or((None, rest), |(before, inside)| (Some(before), inside));
    let (ip, outside) = match before {
        None => ("", ""),
        Some(before) => match before.rsplit_once(':') {
            Some((ip, outside)) => (ip, outside),
            // `127.0.0.1:80` is an address and no port only when it looks like one.
            None => ("", before),
        },
    };
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    if !ip.is_empty() && ip.parse::<IpAddr>().is_err() {
        return Err(fail(format!("{ip:?} is not an address")));
    }
    if outside.parse::<IpAddr>().is_ok() {
        return Err(fail(format!("the port of this machine is missing; {outside}::{inside} takes any")));
    }
    let inside = range(inside).map_err(fail)?;
    let binding = |host_port: String| PortBinding { host_ip: ip.to_owned(), host_port };
    let name = |port: u16| format!("{port}/{protocol}");
    if outside.is_empty() {
        return Ok(inside.map(|port| (name(port), binding(String::new()))).collect());
    }
    let outside_range = range(outside).map_err(fail)?;
    let (many, few) = (outside_range.len(), inside.len());
    if few == 1 && many > 1 {
        // Any free one of the range.
        return Ok(vec![(name(*inside.start()), binding(outside.to_owned()))]);
    }
    if many != few {
        return Err(fail(format!("{many} ports of this machine for {few} of the container")));
    }
    Ok(inside.zip(outside_range).map(|(port, host)| (name(port), binding(host.to_string()))).collect())
}

fn port_and_protocol<'a>(flag: &'static str, whole: &str, text: &'a str) -> Result<(&'a str, String), SpecError> {
    let (ports, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(SpecError::value(flag, whole, format!("{protocol:?} is not tcp, udp or sctp")));
    }
    Ok((ports, protocol))
}

fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let port =
        |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| format!("{text:?} is not a port"));
    match text.split_once('-') {
        None => port(text).map(|port| port..=port),
        Some((from, to)) => {
            let (from, to) = (port(from)?, port(to)?);
            if from > to {
                return Err(format!("{text:?} runs backwards"));
            }
            Ok(from..=to)
        }
    }
}
