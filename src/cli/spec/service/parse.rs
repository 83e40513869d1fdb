//! The values of single flags.

use std::collections::BTreeMap;

use hoist_proto::unit;

use crate::{
    api::dto::service::{DiscreteResource, FileTarget, GenericResource, NetworkTarget, PortConfig, Preference, Spread},
    cli::spec::SpecError,
};

/// A duration in nanoseconds.
pub fn nanos(flag: &'static str, text: &str) -> Result<i64, SpecError> {
    let span = unit::parse_duration(text)
        .map_err(|_| SpecError::value(flag, text, "expected a duration, such as 1m30s or 500ms"))?;
    i64::try_from(span.as_nanos()).map_err(|_| SpecError::value(flag, text, "too long"))
}

/// Processors in billionths.
pub fn cpus(flag: &'static str, text: &str) -> Result<i64, SpecError> {
    let cpus: f64 = text
        .parse()
        .ok()
        .filter(|cpus: &f64| cpus.is_finite() && *cpus >= 0.0 && *cpus < 1e6)
        .ok_or_else(|| SpecError::value(flag, text, "expected a number of processors, such as 1.5"))?;
    Ok((cpus * 1e9).round() as i64)
}

/// `key=value,…`, or a lone word under the key `""`.
fn fields<'a>(flag: &'static str, text: &'a str) -> Result<BTreeMap<String, &'a str>, SpecError> {
    if !text.contains('=') {
        return Ok(BTreeMap::from([(String::new(), text)]));
    }
    text.split(',')
        .map(|field| match field.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_lowercase(), value.trim())),
            None => Err(SpecError::value(flag, text, format!("{field:?} is not KEY=VALUE"))),
        })
        .collect()
}

/// `[PUBLISHED[-LAST]:]TARGET[-LAST][/PROTOCOL]` or `published=…,target=…,protocol=…,mode=…`.
pub fn ports(flag: &'static str, text: &str) -> Result<Vec<PortConfig>, SpecError> {
    let fail = |why: String| SpecError::value(flag, text, why);
    if text.contains('=') {
        let mut port =
            PortConfig { protocol: "tcp".to_owned(), publish_mode: "ingress".to_owned(), ..PortConfig::default() };
        for (key, value) in fields(flag, text)? {
            let number = || value.parse::<u16>().map_err(|_| fail(format!("{key} {value:?} is not a port")));
            match key.as_str() {
                "published" => port.published_port = number()?,
                "target" => port.target_port = number()?,
                "protocol" if matches!(value, "tcp" | "udp" | "sctp") => port.protocol = value.to_owned(),
                "mode" if matches!(value, "ingress" | "host") => port.publish_mode = value.to_owned(),
                "protocol" => return Err(fail(format!("protocol {value:?} is none of tcp, udp and sctp"))),
                "mode" => return Err(fail(format!("mode {value:?} is neither ingress nor host"))),
                _ => return Err(fail(format!("unknown field {key:?}"))),
            }
        }
        if port.target_port == 0 {
            return Err(fail("target is missing".to_owned()));
        }
        return Ok(vec![port]);
    }
    let (numbers, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(fail(format!("protocol {protocol:?} is none of tcp, udp and sctp")));
    }
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) if first <= last && first > 0 => Ok(first..=last),
            _ => Err(fail(format!("{text:?} is neither a port nor a range"))),
        }
    };
    let (published, target) = match numbers.rsplit_once(':') {
        Some((published, _)) if published.contains(':') => {
            return Err(fail("a service is published on all addresses: an address cannot be chosen".to_owned()));
        }
        Some((published, target)) => (Some(range(published)?), range(target)?),
        None => (None, range(numbers)?),
    };
    if published.as_ref().is_some_and(|published| published.len() != target.len()) {
        return Err(fail("the ranges have different lengths".to_owned()));
    }
    let mut published = published.into_iter().flatten();
    Ok(target
        .map(|target_port| PortConfig {
            name: String::new(),
            protocol: protocol.to_owned(),
            target_port,
            published_port: published.next().unwrap_or(0),
            publish_mode: "ingress".to_owned(),
        })
        .collect())
}

/// `NAME` or `name=…,alias=…,driver-opt=…`.
pub fn network(flag: &'static str, text: &str) -> Result<NetworkTarget, SpecError> {
    let mut network = NetworkTarget::default();
    if !text.contains('=') {
        text.clone_into(&mut network.target);
        return Ok(network);
    }
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("name", value)) => value.clone_into(&mut network.target),
            Some(("alias", value)) => network.aliases.push(value.to_owned()),
            Some(("driver-opt", option)) => {
                let (key, value) = option.split_once('=').unwrap_or((option, ""));
                network.driver_opts.insert(key.to_owned(), value.to_owned());
            }
            _ => return Err(SpecError::value(flag, text, format!("unknown field {field:?}"))),
        }
    }
    Ok(network)
}

/// `spread=node.labels.zone`.
pub fn preference(flag: &'static str, text: &str) -> Result<Preference, SpecError> {
    match text.split_once('=') {
        Some(("spread", key)) if !key.is_empty() => {
            Ok(Preference { spread: Some(Spread { spread_descriptor: key.to_owned() }) })
        }
        _ => Err(SpecError::value(flag, text, "expected spread=ATTRIBUTE, such as spread=node.labels.zone")),
    }
}

/// `NAME` or `source=…,target=…,uid=…,gid=…,mode=…`: the source and its file.
pub fn file(flag: &'static str, text: &str) -> Result<(String, FileTarget), SpecError> {
    let mut target = FileTarget { uid: "0".to_owned(), gid: "0".to_owned(), mode: 0o444, ..FileTarget::default() };
    let mut source = String::new();
    for (key, value) in fields(flag, text)? {
        match key.as_str() {
            "" | "source" | "src" => value.clone_into(&mut source),
            "target" => value.clone_into(&mut target.name),
            "uid" => value.clone_into(&mut target.uid),
            "gid" => value.clone_into(&mut target.gid),
            "mode" => {
                target.mode = u32::from_str_radix(value, 8)
                    .map_err(|_| SpecError::value(flag, text, format!("mode {value:?} is not octal")))?;
            }
            _ => return Err(SpecError::value(flag, text, format!("unknown field {key:?}"))),
        }
    }
    if source.is_empty() {
        return Err(SpecError::value(flag, text, "source is required"));
    }
    if target.name.is_empty() {
        target.name.clone_from(&source);
    }
    Ok((source, target))
}

/// `KIND=COUNT`.
pub fn generic(flag: &'static str, text: &str) -> Result<GenericResource, SpecError> {
    let found = text.split_once('=').and_then(|(kind, count)| Some((kind, count.parse::<i64>().ok()?)));
    match found {
        Some((kind, value)) if !kind.is_empty() && value > 0 => Ok(GenericResource {
            named_resource_spec: None,
            discrete_resource_spec: Some(DiscreteResource { kind: kind.to_owned(), value }),
        }),
        _ => Err(SpecError::value(flag, text, "expected KIND=COUNT, such as gpu=2")),
    }
}

/// `NAME:ADDRESS` as the line `ADDRESS NAME`.
pub fn host(flag: &'static str, text: &str) -> Result<String, SpecError> {
    match text.split_once([':', '=']) {
        Some((name, address)) if !name.is_empty() && !address.is_empty() => Ok(format!("{address} {name}")),
        _ => Err(SpecError::value(flag, text, "expected NAME:ADDRESS")),
    }
}
