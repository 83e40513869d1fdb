//! The network of a build's command.

use std::net::IpAddr;
use std::path::PathBuf;

use hoist_build::{NetworkChoice, RunRequest};
use hoist_network::{AttachRequest, ConnectRequest, DnsConfig, Endpoint, files};
use hoist_proto::spec::{ContainerSpec, NetworkMode};

use super::run::{Place, hostname};
use crate::spec::Namespace;
use crate::{EngineError, Result};

/// The network of commands that name none.
const DEFAULT: &str = "bridge";

pub(super) struct Network {
    pub namespace: Namespace,
    pub files: Vec<(&'static str, PathBuf)>,
}

/// What a container's description would say.
pub(super) fn mode(request: &RunRequest) -> NetworkMode {
    match request.network {
        NetworkChoice::Default | NetworkChoice::Named(_) => NetworkMode::Networks,
        NetworkChoice::None => NetworkMode::None,
        NetworkChoice::Host => NetworkMode::Host,
    }
}

/// Gives the command its network, and writes the files that go with it.
pub(super) async fn attach(place: &Place<'_>, spec: &ContainerSpec) -> Result<Network> {
    let networks = &place.engine.options.networks;
    let name = match &place.request.network {
        NetworkChoice::Default => Some(DEFAULT.to_owned()),
        NetworkChoice::Named(name) => Some(name.clone()),
        NetworkChoice::None | NetworkChoice::Host => None,
    };
    let (namespace, endpoints) = if spec.network_mode == NetworkMode::Host {
        (Namespace::Host, Vec::new())
    } else {
        let networks_wanted = name.map(|network| ConnectRequest { network, ..ConnectRequest::default() });
        let request = AttachRequest { networks: networks_wanted.into_iter().collect(), ..AttachRequest::default() };
        let attached = networks.attach(place.id.as_str(), request).await?;
        (Namespace::Path(attached.sandbox.path), attached.endpoints)
    };
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let embedded = endpoints.iter().any(|endpoint| endpoint.interface.is_some());
    let write = |name: &str, text: String| -> Result<PathBuf> {
        let path = place.run_dir.join(name);
        fs_err::write(&path, text)?;
        Ok(path)
    };
    let resolv_conf = write("resolv.conf", files::resolv_conf(&host, &DnsConfig::default(), embedded))?;
    let hostname = write("hostname", format!("{}\n", hostname(place.request)))?;
    let hosts = write("hosts", hosts(place, spec, &endpoints).await?)?;
    let files = vec![("/etc/resolv.conf", resolv_conf), ("/etc/hostname", hostname), ("/etc/hosts", hosts)];
    Ok(Network { namespace, files })
}

async fn hosts(place: &Place<'_>, spec: &ContainerSpec, endpoints: &[Endpoint]) -> Result<String> {
    let mut extra = Vec::new();
    for (name, address) in &place.request.extra_hosts {
        if address == "host-gateway" && !place.engine.options.defaults.host_gateway.is_empty() {
            extra.extend(place.engine.options.defaults.host_gateway.iter().map(|address| (name.clone(), *address)));
            continue;
        }
        let address = if address == "host-gateway" {
            let own = endpoints.iter().find_map(|endpoint| endpoint.gateway4).map(IpAddr::V4);
            match own {
                Some(own) => own,
                None => place.engine.options.networks.inspect(DEFAULT).await?.gateway(false).ok_or_else(|| {
                    EngineError::InvalidParameter("host-gateway: the default network has no gateway".into())
                })?,
            }
        } else {
            address.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| {
                EngineError::InvalidParameter(format!("invalid IP address in add-host: {address:?} of {name:?}"))
            })?
        };
        extra.push((name.clone(), address));
    }
    if spec.network_mode == NetworkMode::Host {
        let mut text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        for (name, address) in extra {
            text.push_str(&format!("{address}\t{name}\n"));
        }
        return Ok(text);
    }
    let own: Vec<IpAddr> = endpoints
        .iter()
        .flat_map(|endpoint| {
            let v4 = endpoint.ipv4.map(|(address, _)| IpAddr::V4(address));
            v4.into_iter().chain(endpoint.ipv6.map(|(address, _)| IpAddr::V6(address)))
        })
        .collect();
    let ipv6 = endpoints.iter().any(|endpoint| endpoint.ipv6.is_some());
    Ok(files::hosts(hostname(place.request), "", &own, &extra, ipv6))
}
