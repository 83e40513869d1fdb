//! The contents of a container's `/etc/resolv.conf` and `/etc/hosts`: text in, text out.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use crate::model::DnsConfig;

/// Where the name server of a container listens, inside its own namespace.
pub const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// The parts of a resolv.conf that matter to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// `nameserver` lines with addresses that could be understood.
    pub servers: Vec<IpAddr>,
    /// The last `search` or `domain` line.
    pub search: Vec<String>,
    /// All `options`.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Reads what is understood and passes over the rest, as resolvers do (resolv.conf(5)).
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // An IPv6 server may have a zone, which only the host can use.
                    let address = words.next().map(|w| w.split('%').next().unwrap_or(w));
                    conf.servers.extend(address.and_then(|w| w.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => conf.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        conf
    }
}

/// What a container's `/etc/resolv.conf` says.
///
/// `embedded` is for containers with our name server; the others (`host` and `none`, or a
/// container without network) get the servers that were asked for, or the host's own. `host` is
/// the text of the host's file. The host's search domains and options are kept unless others are
/// given.
pub fn resolv_conf(host: &str, dns: &DnsConfig, embedded: bool) -> String {
    let host = ResolvConf::parse(host);
    let mut text = String::new();
    let servers = match (embedded, dns.servers.is_empty()) {
        (true, _) => vec![RESOLVER],
        (false, true) => host.servers,
        (false, false) => dns.servers.clone(),
    };
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    let search = if dns.search.is_empty() { &host.search } else { &dns.search };
    let search: Vec<&str> = search.iter().map(String::as_str).filter(|d| *d != ".").collect();
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    let mut options = if dns.options.is_empty() { host.options } else { dns.options.clone() };
    if embedded && !options.iter().any(|o| o.starts_with("ndots:")) {
        // Names of containers have no dot. Without this, a host's search list would be tried first
        // for every name that has one.
        options.push("ndots:0".to_owned());
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

/// What a container's `/etc/hosts` says: the loopback names, the container's own addresses with its
/// names, and `extra` (address and name) in the order given.
pub fn hosts(hostname: &str, domainname: &str, addresses: &[IpAddr], extra: &[(String, IpAddr)], ipv6: bool) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n");
    if ipv6 {
        text.push_str(
            "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n\
             ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
        );
    }
    for (name, address) in extra {
        let _ = writeln!(text, "{address}\t{name}");
    }
    if !hostname.is_empty() {
        for address in addresses {
            if domainname.is_empty() {
                let _ = writeln!(text, "{address}\t{hostname}");
            } else {
                let _ = writeln!(text, "{address}\t{hostname}.{domainname} {hostname}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# by hand\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver bad\n\
                        domain old.example\nsearch a.example b.example\noptions edns0 trust-ad\n";

    #[test]
    fn the_hosts_file_is_understood() {
        let conf = ResolvConf::parse(HOST);
        assert_eq!(conf.servers, ["127.0.0.53".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        assert_eq!(conf.search, ["a.example", "b.example"]);
        assert_eq!(conf.options, ["edns0", "trust-ad"]);
    }

    #[test]
    fn our_server_stands_in_for_all_others() {
        assert_eq!(
            resolv_conf(HOST, &DnsConfig::default(), true),
            "nameserver 127.0.0.11\nsearch a.example b.example\noptions edns0 trust-ad ndots:0\n"
        );
        let dns = DnsConfig {
            servers: vec!["1.1.1.1".parse().unwrap()],
            search: vec![".".into()],
            options: vec!["ndots:2".into()],
        };
        assert_eq!(resolv_conf(HOST, &dns, true), "nameserver 127.0.0.11\noptions ndots:2\n");
        assert_eq!(resolv_conf(HOST, &dns, false), "nameserver 1.1.1.1\noptions ndots:2\n");
        assert_eq!(resolv_conf("nameserver 10.0.0.1\n", &DnsConfig::default(), false), "nameserver 10.0.0.1\n");
    }

    #[test]
    fn the_hosts_names() {
        let addresses = ["172.17.0.2".parse().unwrap()];
        let extra = [("db".to_owned(), "10.0.0.9".parse().unwrap())];
        assert_eq!(
            hosts("web", "", &addresses, &extra, false),
            "127.0.0.1\tlocalhost\n10.0.0.9\tdb\n172.17.0.2\tweb\n"
        );
        assert!(hosts("web", "example.org", &addresses, &[], true).ends_with("172.17.0.2\tweb.example.org web\n"));
    }
}
