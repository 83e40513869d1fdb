//! Which address a registry's name stands for, and how to speak to it.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::tls;
use crate::error::Error;
use crate::images::{ImagePeer, Options};

/// A registry or mirror that can be asked.
pub(crate) struct Endpoint {
    /// How people call it: `docker.io`, `localhost:5000`.
    pub name: String,
    /// `host[:port]` and, for mirrors, a path.
    address: String,
    /// The one scheme, for mirrors given with one.
    scheme: Option<&'static str>,
    plain_allowed: bool,
    pub client: reqwest::Client,
    base: OnceCell<String>,
}

impl Endpoint {
    /// The endpoint of a reference's domain.
    pub(crate) fn for_domain(domain: &str, options: &Options) -> Result<Endpoint, Error> {
        let address = if domain == crate::reference::DEFAULT_DOMAIN { "registry-1.docker.io" } else { domain };
        Endpoint::new(domain, address, None, options)
    }

    /// A mirror, given as an address with or without scheme.
    pub(crate) fn for_mirror(mirror: &str, options: &Options) -> Result<Endpoint, Error> {
        let (scheme, address) = match (mirror.strip_prefix("https://"), mirror.strip_prefix("http://")) {
            (Some(rest), _) => (Some("https"), rest),
            (_, Some(rest)) => (Some("http"), rest),
            _ => (None, mirror),
        };
        let address = address.trim_end_matches('/');
        let host = address.split('/').next().unwrap_or(address);
        let mut endpoint = Endpoint::new(host, host, scheme, options)?;
        endpoint.address = address.to_owned();
        Ok(endpoint)
    }

    /// Another machine of the cluster.
    pub(crate) fn for_peer(peer: &ImagePeer, options: &Options) -> Result<Endpoint, Error> {
        let client = reqwest::Client::builder()
            .user_agent(&options.user_agent)
            .tls_backend_preconfigured(tls::config(&tls::HostFiles::default(), false)?)
            .unix_socket(peer.socket.as_path())
            .read_timeout(Duration::from_secs(30))
            .no_proxy()
            .build()
            .map_err(|e| Error::invalid(format!("HTTP client for node {}", peer.name), describe(&e)))?;
        Ok(Endpoint {
            name: format!("node {}", peer.name),
            address: "peer".to_owned(),
            scheme: Some("http"),
            plain_allowed: true,
            client,
            base: OnceCell::new(),
        })
    }

    fn new(name: &str, host: &str, scheme: Option<&'static str>, options: &Options) -> Result<Endpoint, Error> {
        let loopback = is_loopback(host);
        let insecure = options.insecure_registries.iter().any(|entry| covers(entry, host));
        let files = tls::HostFiles::find(&options.certs_dirs, name);
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(&files, insecure)?)
            .user_agent(&options.user_agent)
            .connect_timeout(Duration::from_secs(15))
            .read_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(4)
            .redirect(reqwest::redirect::Policy::limited(10));
        let none_for = options.proxies.none_for.as_deref().and_then(reqwest::NoProxy::from_string);
        let proxy = |url: &str, made: reqwest::Result<reqwest::Proxy>| match made {
            Ok(proxy) => Ok(proxy.no_proxy(none_for.clone().or_else(reqwest::NoProxy::from_env))),
            Err(e) => Err(Error::invalid(format!("proxy {url}"), describe(&e))),
        };
        if let Some(url) = &options.proxies.http {
            builder = builder.proxy(proxy(url, reqwest::Proxy::http(url))?);
        }
        if let Some(url) = &options.proxies.https {
            builder = builder.proxy(proxy(url, reqwest::Proxy::https(url))?);
        }
        if loopback {
            // A proxy elsewhere cannot reach this machine's loopback.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|e| Error::invalid(format!("HTTP client for {name}"), describe(&e)))?;
        Ok(Endpoint {
            name: name.to_owned(),
            address: host.to_owned(),
            scheme,
            plain_allowed: loopback || insecure,
            client,
            base: OnceCell::new(),
        })
    }

    /// `scheme://address`. Where plain HTTP is allowed it is found out once which one the registry speaks.
    pub(crate) async fn base(&self) -> Result<&str, Error> {
        let base = self.base.get_or_try_init(|| async {
            let url = |scheme: &str| format!("{scheme}://{}", self.address);
            if let Some(scheme) = self.scheme {
                return Ok(url(scheme));
            }
            if !self.plain_allowed {
                return Ok(url("https"));
            }
            match self.client.get(format!("{}/v2/", url("https"))).send().await {
                Ok(_) => Ok(url("https")),
                Err(tls_error) => match self.client.get(format!("{}/v2/", url("http"))).send().await {
                    // A TLS server answers plain requests with 400: then the certificate was the trouble.
                    Ok(answer) if answer.status() == 400 => Err(self.unreachable(&tls_error)),
                    Ok(_) => Ok(url("http")),
                    Err(e) => Err(self.unreachable(&e)),
                },
            }
        });
        base.await.map(String::as_str)
    }

    /// The error for a request without an answer.
    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Error {
        Error::Unreachable { registry: self.name.clone(), reason: describe(error) }
    }
}

/// The innermost cause: what reqwest wraps around it says nothing more.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.source().is_none() {
        return error.to_string();
    }
    cause.to_string()
}

fn host_only(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    address.split(':').next().unwrap_or(address)
}

fn is_loopback(address: &str) -> bool {
    let host = host_only(address);
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether an entry of the list of insecure registries is for this host: by name, with or without port, or as a network.
fn covers(entry: &str, address: &str) -> bool {
    if entry == address || entry == host_only(address) {
        return true;
    }
    let Some((network, bits)) = entry.split_once('/') else { return false };
    match (network.parse::<IpAddr>(), bits.parse::<u32>(), host_only(address).parse::<IpAddr>()) {
        (Ok(IpAddr::V4(net)), Ok(bits @ 0..=32), Ok(IpAddr::V4(ip))) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            net.to_bits() & mask == ip.to_bits() & mask
        }
        (Ok(IpAddr::V6(net)), Ok(bits @ 0..=128), Ok(IpAddr::V6(ip))) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            net.to_bits() & mask == ip.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_loopback_and_insecure_hosts() {
        for yes in ["localhost", "localhost:5000", "127.0.0.1:80", "127.9.9.9", "[::1]:5000", "a.localhost:1"] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["localhost.example", "10.0.0.1", "example.com:5000", "[::2]:1"] {
            assert!(!is_loopback(no), "{no}");
        }
        assert!(covers("10.0.0.0/8", "10.1.2.3:5000") && !covers("10.0.0.0/8", "11.0.0.1"));
        assert!(covers("0.0.0.0/0", "1.2.3.4") && covers("fd00::/8", "[fd00::1]:5000") && covers("a.b", "a.b:5000"));
        assert!(!covers("a.b:5000", "a.b:5001") && !covers("10.0.0.0/99", "10.0.0.1"));
    }
}
