//! Ports in one column: `0.0.0.0:8080-8081->80-81/tcp, 443/tcp`.

use serde::Deserialize;

/// A port of a line of `GET /containers/json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Port {
    #[serde(rename = "PrivatePort")]
    pub private: u16,
    #[serde(rename = "Type")]
    pub protocol: String,
    #[serde(rename = "IP")]
    pub ip: String,
    #[serde(rename = "PublicPort")]
    pub public: Option<u16>,
}

/// Ports that follow each other are shown as ranges.
pub fn describe(ports: &[Port]) -> String {
    let mut sorted: Vec<&Port> = ports.iter().collect();
    // What is only exposed comes first, then by address.
    sorted.sort_by_key(|port| {
        (
            port.public.is_some(),
            port.ip.contains(':'),
            port.ip.clone(),
            port.protocol.clone(),
            port.private,
            port.public,
        )
    });
    let mut parts: Vec<String> = Vec::new();
    let mut run: Option<(&Port, &Port)> = None;
    for port in sorted {
        run = match run {
            Some((first, last)) if follows(last, port) => Some((first, port)),
            Some((first, last)) => {
                parts.push(part(first, last));
                Some((port, port))
            }
            None => Some((port, port)),
        };
    }
    parts.extend(run.map(|(first, last)| part(first, last)));
    parts.join(", ")
}

fn follows(last: &Port, next: &Port) -> bool {
    last.ip == next.ip
        && last.protocol == next.protocol
        && last.private.checked_add(1) == Some(next.private)
        && match (last.public, next.public) {
            (Some(a), Some(b)) => a.checked_add(1) == Some(b),
            (None, None) => true,
            _ => false,
        }
}

fn part(first: &Port, last: &Port) -> String {
    let range = |from: u16, to: u16| if from == to { from.to_string() } else { format!("{from}-{to}") };
    let inside = format!("{}/{}", range(first.private, last.private), first.protocol);
    match (first.public, last.public) {
        (Some(from), Some(to)) => {
            let ip = match first.ip.as_str() {
                "" => "0.0.0.0".to_owned(),
                ip if ip.contains(':') && ip != "::" => format!("[{ip}]"),
                "::" => "[::]".to_owned(),
                ip => ip.to_owned(),
            };
            format!("{ip}:{}->{inside}", range(from, to))
        }
        _ => inside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, private: u16, public: Option<u16>, protocol: &str) -> Port {
        Port { ip: ip.into(), private, public, protocol: protocol.into() }
    }

    #[test]
    fn ranges() {
        let ports = [
            port("0.0.0.0", 80, Some(8080), "tcp"),
            port("0.0.0.0", 81, Some(8081), "tcp"),
            port("::", 80, Some(8080), "tcp"),
            port("", 100, None, "tcp"),
            port("", 101, None, "tcp"),
            port("", 101, None, "udp"),
        ];
        assert_eq!(describe(&ports), "100-101/tcp, 101/udp, 0.0.0.0:8080-8081->80-81/tcp, [::]:8080->80/tcp");
        assert_eq!(describe(&[]), "");
    }
}
