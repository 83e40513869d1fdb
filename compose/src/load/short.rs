//! The short syntaxes of ports, mounts and devices.

use std::net::Ipv6Addr;

use super::node::{Entries, Node, Value};

/// One port of a short syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShortPort {
    pub host_ip: Option<String>,
    pub published: Option<String>,
    pub target: u16,
    pub protocol: String,
}

/// `[[IP:][PORT|FIRST-LAST]:]PORT|FIRST-LAST[/PROTOCOL]`, one entry for each
/// container port. Many host ports for one container port stay a range.
pub(super) fn ports(text: &str) -> Result<Vec<ShortPort>, String> {
    let bad = |why: &str| format!("\"{text}\" is not a port mapping such as 8080:80 or 127.0.0.1:8080:80/udp: {why}");
    let (body, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(bad(&format!("the protocol \"{protocol}\" is none of tcp, udp, sctp")));
    }
    let (rest, target) = match body.rsplit_once(':') {
        Some((rest, target)) => (Some(rest), target),
        None => (None, body),
    };
    let (first, last) = range(target).ok_or_else(|| bad("the container port is no number from 1 to 65535"))?;
    if first == 0 {
        return Err(bad("the container port is no number from 1 to 65535"));
    }
    let (host_ip, published) = match rest {
        None => (None, None),
        Some(rest) => {
            let (ip, published) = match rest.rsplit_once(':') {
                Some((ip, published)) => (Some(ip), published),
                None => (None, rest),
            };
            let ip = ip.map(|ip| ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip));
            if let Some(ip) = ip
                && ip.parse::<std::net::Ipv4Addr>().is_err()
                && ip.split('%').next().unwrap_or(ip).parse::<Ipv6Addr>().is_err()
            {
                return Err(bad(&format!("\"{ip}\" is not an address")));
            }
            (ip.map(str::to_owned), (!published.is_empty()).then_some(published))
        }
    };
    let host = match published {
        Some(published) => Some(range(published).ok_or_else(|| bad("the host port is no number from 0 to 65535"))?),
        None => None,
    };
    let count = last - first;
    let port = |target: u16, published: Option<String>| ShortPort {
        host_ip: host_ip.clone(),
        published,
        target,
        protocol: protocol.clone(),
    };
    match host {
        Some((low, high)) if low != high && count == 0 => Ok(vec![port(first, Some(format!("{low}-{high}")))]),
        Some((low, high)) if high - low != count => Err(bad("the two ranges differ in length")),
        Some((low, _)) => Ok((0..=count).map(|i| port(first + i, Some((low + i).to_string()))).collect()),
        None => Ok((0..=count).map(|i| port(first + i, None)).collect()),
    }
}

/// `PORT` or `FIRST-LAST`, in order.
pub(super) fn range(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}

/// `PATH[:PATH[:PERMISSIONS]]`, or a CDI name.
pub(super) fn device(text: &str) -> Result<(&str, &str, &str), String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, permissions) = match parts[..] {
        [source] => (source, source, "rwm"),
        // Two parts: the second is permissions when it cannot be a path.
        [source, permissions] if is_permissions(permissions) => (source, source, permissions),
        [source, target] => (source, target, "rwm"),
        [source, target, permissions] if is_permissions(permissions) => (source, target, permissions),
        [_, _, permissions] => return Err(format!("\"{permissions}\" is not made of r, w and m")),
        _ => return Err(format!("\"{text}\" is not HOST_PATH[:CONTAINER_PATH[:PERMISSIONS]]")),
    };
    if source.is_empty() || target.is_empty() {
        return Err(format!("\"{text}\" has an empty path"));
    }
    Ok((source, target, permissions))
}

fn is_permissions(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| "rwm".contains(c))
}

/// What a short mount says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ShortMount {
    pub source: Option<String>,
    pub target: String,
    pub read_only: bool,
    pub nocopy: bool,
    pub propagation: Option<String>,
    pub selinux: Option<String>,
    pub consistency: Option<String>,
    pub bind: bool,
}

/// `[SOURCE:]TARGET[:OPTIONS]`.
pub(super) fn mount(text: &str) -> Result<ShortMount, String> {
    let bad = |why: &str| format!("\"{text}\" is not [SOURCE:]TARGET[:OPTIONS]: {why}");
    let parts: Vec<&str> = text.split(':').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(bad("a part is empty"));
    }
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => return Err(bad("too many colons")),
    };
    let mut mount = ShortMount {
        bind: source.is_some_and(|source| source.starts_with(['.', '/', '~'])),
        source: source.map(str::to_owned),
        target: target.to_owned(),
        ..ShortMount::default()
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "nocopy" => mount.nocopy = true,
            "z" | "Z" => mount.selinux = Some(option.to_owned()),
            "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => {
                mount.propagation = Some(option.to_owned());
            }
            "consistent" | "cached" | "delegated" => mount.consistency = Some(option.to_owned()),
            other => return Err(bad(&format!("unknown option \"{other}\""))),
        }
    }
    Ok(mount)
}

impl ShortMount {
    /// The long syntax, at the place of the short one.
    pub fn into_value(self, at: &Node) -> Value {
        let mut map = Entries::new();
        let text = |text: String| Value::String(text);
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(key.to_owned(), Node::new(value, at.mark));
            }
        };
        let options = |entries: Vec<(&str, Value)>| {
            Value::Map(entries.into_iter().map(|(k, v)| (k.to_owned(), Node::new(v, at.mark))).collect())
        };
        set("type", Some(text(if self.bind { "bind" } else { "volume" }.to_owned())));
        set("source", self.source.map(text));
        set("target", Some(text(self.target)));
        set("read_only", self.read_only.then_some(Value::Bool(true)));
        set("consistency", self.consistency.map(text));
        let mut bind = Vec::new();
        bind.extend(self.selinux.map(|v| ("selinux", text(v))));
        bind.extend(self.propagation.map(|v| ("propagation", text(v))));
        if self.bind {
            bind.push(("create_host_path", Value::Bool(true)));
        }
        set("bind", (!bind.is_empty()).then(|| options(bind)));
        let volume = if self.nocopy { vec![("nocopy", Value::Bool(true))] } else { Vec::new() };
        set("volume", (!self.bind).then(|| options(volume)));
        Value::Map(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> String {
        match ports(text) {
            Ok(all) => all
                .iter()
                .map(|p| {
                    format!(
                        "{}|{}|{}/{}",
                        p.host_ip.as_deref().unwrap_or(""),
                        p.published.as_deref().unwrap_or(""),
                        p.target,
                        p.protocol
                    )
                })
                .collect::<Vec<_>>()
                .join(" "),
            Err(_) => "error".to_owned(),
        }
    }

    #[test]
    fn port_syntaxes() {
        for (text, ports) in [
            ("3000", "||3000/tcp"),
            ("3000-3002", "||3000/tcp ||3001/tcp ||3002/tcp"),
            ("8000:8000", "|8000|8000/tcp"),
            ("9090-9091:8080-8081", "|9090|8080/tcp |9091|8081/tcp"),
            ("8000-9000:80", "|8000-9000|80/tcp"),
            ("127.0.0.1:8001:8001", "127.0.0.1|8001|8001/tcp"),
            ("127.0.0.1:5000-5001:5000-5001", "127.0.0.1|5000|5000/tcp 127.0.0.1|5001|5001/tcp"),
            ("127.0.0.1::80", "127.0.0.1||80/tcp"),
            ("::1:6000:6000", "::1|6000|6000/tcp"),
            ("[::1]:6001:6001", "::1|6001|6001/tcp"),
            ("6060:6060/udp", "|6060|6060/udp"),
            ("6060/SCTP", "||6060/sctp"),
            ("", "error"),
            ("80:", "error"),
            ("x:80", "error"),
            ("70000", "error"),
            ("0", "error"),
            ("80-70", "error"),
            ("1-3:1-2", "error"),
            ("300.1.1.1:80:80", "error"),
            ("80/icmp", "error"),
            ("+80:80", "error"),
        ] {
            assert_eq!(printed(text), ports, "{text}");
        }
    }

    #[test]
    fn mounts_and_devices() {
        assert!(mount("./a:/b:ro,z").is_ok_and(|m| m.bind && m.read_only && m.selinux.as_deref() == Some("z")));
        assert!(mount("data:/b:nocopy").is_ok_and(|m| !m.bind && m.nocopy));
        assert!(mount("/only").is_ok_and(|m| m.source.is_none() && !m.bind));
        for text in ["", ":", "a:", ":/b", "a:/b:c:d", "a:/b:what"] {
            assert!(mount(text).is_err(), "{text}");
        }
        assert_eq!(device("/dev/sda:/dev/xvda:r"), Ok(("/dev/sda", "/dev/xvda", "r")));
        assert_eq!(device("vendor.com/device=gpu"), Ok(("vendor.com/device=gpu", "vendor.com/device=gpu", "rwm")));
        assert!(device("/a:/b:q").is_err());
    }
}
