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

/// Ports that follow each other and have the same number outside are shown as ranges, those with another after them: in
/// Docker's order.
pub fn describe(ports: &[Port]) -> String {
    let mut sorted: Vec<&Port> = ports.iter().collect();
    sorted.sort_by_key(|port| (port.private, &port.ip, port.public, &port.protocol));
    // The last range of each address and protocol, in the order in which they began.
    let mut ranges: Vec<Range<'_>> = Vec::new();
    let (mut done, mut elsewhere) = (Vec::new(), Vec::new());
    for port in sorted {
        if !port.ip.is_empty() && port.public != Some(port.private) {
            let outside = host(&port.ip, port.public.unwrap_or(0));
            elsewhere.push(format!("{outside}->{}/{}", port.private, port.protocol));
            continue;
        }
        match ranges.iter_mut().find(|range| range.ip == port.ip && range.protocol == port.protocol) {
            Some(range) if range.last.checked_add(1) == Some(port.private) => range.last = port.private,
            Some(range) => {
                done.push(range.to_string());
                (range.first, range.last) = (port.private, port.private);
            }
            None => {
                ranges.push(Range { ip: &port.ip, protocol: &port.protocol, first: port.private, last: port.private })
            }
        }
    }
    done.extend(ranges.iter().map(ToString::to_string));
    done.extend(elsewhere);
    done.join(", ")
}

struct Range<'a> {
    ip: &'a str,
    protocol: &'a str,
    first: u16,
    last: u16,
}

impl std::fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { ip, protocol, first, last } = self;
        let ports = if first == last { first.to_string() } else { format!("{first}-{last}") };
        match *ip {
            "" => write!(f, "{ports}/{protocol}"),
            ip => write!(f, "{}->{ports}/{protocol}", host(ip, &ports)),
        }
    }
}

/// An address with what follows its colon.
fn host(ip: &str, port: impl std::fmt::Display) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
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
            port("::", 80, Some(8080), "tcp"),
            port("0.0.0.0", 9000, Some(9000), "udp"),
            port("0.0.0.0", 9001, Some(9001), "udp"),
            port("::1", 9000, Some(9000), "udp"),
            port("", 100, None, "tcp"),
            port("", 101, None, "tcp"),
            port("", 103, None, "tcp"),
            port("", 101, None, "udp"),
        ];
        assert_eq!(
            describe(&ports),
            "100-101/tcp, 103/tcp, 101/udp, 0.0.0.0:9000-9001->9000-9001/udp, [::1]:9000->9000/udp, \
             0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
        );
        assert_eq!(describe(&[]), "");
    }
}
