//! A container as inspect and lists show it.

use std::collections::BTreeMap;

use hoist_engine::{Container, HealthStatus, State, Status};
use hoist_network::Endpoint;
use hoist_proto::{
    clock::Timestamp,
    spec::{NetworkAttachment, NetworkMode},
};

use super::{back, time};
use crate::api::{
    dto::{
        container::{self as dto, Inspect, NetworkSettings, PortSummary, Summary},
        endpoint::{EndpointIpamConfig, EndpointSettings, PortBinding, PortMap},
        mount::MountPoint,
    },
    version::ApiVersion,
};

/// The answer of `GET /containers/{id}/json`.
pub fn inspect(container: &Container, version: ApiVersion) -> Inspect {
    let mut argv = container.argv().into_iter();
    let show = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let networks = networks(container, version);
    Inspect {
        id: container.id.to_string(),
        created: time::moment(Some(container.created)),
        path: argv.next().unwrap_or_default(),
        args: argv.collect(),
        state: state(&container.state),
        image: container.image_id.clone(),
        resolv_conf_path: show(&container.paths.resolv_conf),
        hostname_path: show(&container.paths.hostname),
        hosts_path: show(&container.paths.hosts),
        log_path: show(&container.paths.log),
        name: format!("/{}", container.name),
        restart_count: container.state.restart_count,
        driver: "overlay2".to_owned(),
        platform: container.platform.clone(),
        mount_label: String::new(),
        process_label: String::new(),
        app_armor_profile: container.spec.security.apparmor.clone().unwrap_or_default(),
        exec_ids: Some(container.execs.iter().map(ToString::to_string).collect::<Vec<_>>())
            .filter(|ids| !ids.is_empty()),
        host_config: back::host_config(&container.spec),
        graph_driver: dto::GraphDriver { name: "overlay2".to_owned(), data: BTreeMap::new() },
        size_rw: None,
        size_root_fs: None,
        mounts: mounts(container),
        config: back::config(container, version),
        network_settings: NetworkSettings {
            sandbox_id: container.sandbox.as_ref().map(|_| container.id.to_string()).unwrap_or_default(),
            sandbox_key: container.sandbox.as_deref().map(show).unwrap_or_default(),
            ports: ports(container),
            legacy: (version < ApiVersion(1, 52)).then(|| legacy(&networks)),
            networks,
        },
    }
}

fn state(state: &State) -> dto::State {
    dto::State {
        status: state.status.as_str().to_owned(),
        running: matches!(state.status, Status::Running | Status::Paused | Status::Restarting),
        paused: state.status == Status::Paused,
        restarting: state.status == Status::Restarting,
        oom_killed: state.oom_killed,
        dead: state.status == Status::Dead,
        pid: state.pid.unwrap_or(0),
        exit_code: state.exit_code.unwrap_or(0),
        error: state.error.clone(),
        started_at: time::moment(state.started_at),
        finished_at: time::moment(state.finished_at.filter(|_| !state.status.is_up() || state.restart_count > 0)),
        health: state.health.as_ref().map(|health| dto::Health {
            status: health.status.as_str().to_owned(),
            failing_streak: health.failing_streak,
            log: health
                .log
                .iter()
                .map(|result| dto::HealthResult {
                    start: time::moment(Some(result.start)),
                    end: time::moment(Some(result.end)),
                    exit_code: result.exit_code,
                    output: result.output.clone(),
                })
                .collect(),
        }),
    }
}

/// What is mounted.
pub fn mounts(container: &Container) -> Vec<MountPoint> {
    container
        .mounts
        .iter()
        .map(|mount| MountPoint {
            kind: back::kind_name(mount.kind).to_owned(),
            name: mount.name.clone().unwrap_or_default(),
            source: mount.source.clone(),
            destination: mount.target.clone(),
            driver: mount.driver.clone().unwrap_or_default(),
            mode: container
                .spec
                .mounts
                .iter()
                .find(|asked| asked.target == mount.target)
                .map(|asked| {
                    let ro = asked.read_only.then_some("ro");
                    ro.into_iter().chain(asked.selinux.as_deref()).collect::<Vec<_>>().join(",")
                })
                .unwrap_or_default(),
            rw: mount.read_write,
            propagation: mount.propagation.clone(),
        })
        .collect()
}

/// Exposed ports and where they are published.
pub fn ports(container: &Container) -> PortMap {
    if !container.state.status.is_up() {
        return PortMap::new();
    }
    let mut map: PortMap = container.effective.exposed_ports.iter().map(|port| (port.clone(), None)).collect();
    for port in &container.ports {
        let key = format!("{}/{}", port.container_port, port.protocol);
        map.entry(key)
            .or_default()
            .get_or_insert_default()
            .push(PortBinding { host_ip: port.host_ip.to_string(), host_port: port.host_port.to_string() });
    }
    map
}

/// The connections by network: those asked for, with what became of them.
pub fn networks(container: &Container, version: ApiVersion) -> BTreeMap<String, EndpointSettings> {
    let alone = match &container.spec.network_mode {
        NetworkMode::None => Some("none"),
        NetworkMode::Host => Some("host"),
        NetworkMode::Container(_) => return BTreeMap::new(),
        NetworkMode::Networks => None,
    };
    let mut map: BTreeMap<String, EndpointSettings> = match alone {
        Some(name) => [(name.to_owned(), EndpointSettings::default())].into(),
        None if container.spec.networks.is_empty() => [("bridge".to_owned(), EndpointSettings::default())].into(),
        None => container.spec.networks.iter().map(|asked| (asked.network.clone(), wish(asked))).collect(),
    };
    for endpoint in &container.endpoints {
        // A network may have been asked for by its id.
        let asked = map
            .remove(&endpoint.network_name)
            .or_else(|| map.remove(&endpoint.network))
            .or_else(|| {
                let prefix =
                    map.keys().find(|key| key.len() >= 4 && endpoint.network.starts_with(key.as_str()))?.clone();
                map.remove(&prefix)
            })
            .unwrap_or_default();
        map.insert(endpoint.network_name.clone(), outcome(asked, endpoint, container, version));
    }
    map
}

fn wish(asked: &NetworkAttachment) -> EndpointSettings {
    let ipam = EndpointIpamConfig {
        ipv4_address: asked.ipv4.map(|address| address.to_string()).unwrap_or_default(),
        ipv6_address: asked.ipv6.map(|address| address.to_string()).unwrap_or_default(),
        link_local_ips: asked.link_local.iter().map(ToString::to_string).collect(),
    };
    EndpointSettings {
        ipam_config: (ipam != EndpointIpamConfig::default()).then_some(ipam),
        aliases: (!asked.aliases.is_empty()).then(|| asked.aliases.clone()),
        links: (!asked.links.is_empty()).then(|| asked.links.clone()),
        mac_address: asked.mac.clone().unwrap_or_default(),
        driver_opts: (!asked.driver_options.is_empty()).then(|| asked.driver_options.clone()),
        gw_priority: asked.gateway_priority,
        ..EndpointSettings::default()
    }
}

fn outcome(
    asked: EndpointSettings,
    endpoint: &Endpoint,
    container: &Container,
    version: ApiVersion,
) -> EndpointSettings {
    let user_defined = !matches!(endpoint.network_name.as_str(), "bridge" | "host" | "none");
    let mut aliases = asked.aliases;
    // Up to version 1.44 the short id was among them; docker-compose looks for it.
    if version < ApiVersion(1, 45) && user_defined {
        let list = aliases.get_or_insert_default();
        if !list.iter().any(|alias| alias == container.id.short()) {
            list.push(container.id.short().to_owned());
        }
    }
    EndpointSettings {
        aliases,
        mac_address: endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        network_id: endpoint.network.clone(),
        endpoint_id: endpoint.id.clone(),
        gateway: endpoint.gateway4.map(|address| address.to_string()).unwrap_or_default(),
        ip_address: endpoint.ipv4.map(|(address, _)| address.to_string()).unwrap_or_default(),
        ip_prefix_len: endpoint.ipv4.map_or(0, |(_, length)| i64::from(length)),
        ipv6_gateway: endpoint.gateway6.map(|address| address.to_string()).unwrap_or_default(),
        global_ipv6_address: endpoint.ipv6.map(|(address, _)| address.to_string()).unwrap_or_default(),
        global_ipv6_prefix_len: endpoint.ipv6.map_or(0, |(_, length)| i64::from(length)),
        dns_names: (user_defined && !endpoint.names.is_empty()).then(|| endpoint.names.clone()),
        ..asked
    }
}

/// What old versions repeat of the default network.
fn legacy(networks: &BTreeMap<String, EndpointSettings>) -> dto::LegacyNetworkSettings {
    let settings = networks.get("bridge").cloned().unwrap_or_default();
    dto::LegacyNetworkSettings {
        endpoint_id: settings.endpoint_id,
        gateway: settings.gateway,
        global_ipv6_address: settings.global_ipv6_address,
        global_ipv6_prefix_len: settings.global_ipv6_prefix_len,
        ip_address: settings.ip_address,
        ip_prefix_len: settings.ip_prefix_len,
        ipv6_gateway: settings.ipv6_gateway,
        mac_address: settings.mac_address,
        ..dto::LegacyNetworkSettings::default()
    }
}

/// A line of `GET /containers/json`.
pub fn summary(container: &Container, now: Timestamp, version: ApiVersion) -> Summary {
    Summary {
        id: container.id.to_string(),
        names: vec![format!("/{}", container.name)],
        image: container.spec.image.clone(),
        image_id: container.image_id.clone(),
        command: command(&container.argv()),
        created: container.created.as_second(),
        ports: port_list(container),
        size_rw: None,
        size_root_fs: None,
        labels: container.effective.labels.clone(),
        state: container.state.status.as_str().to_owned(),
        status: status(&container.state, now),
        health: (version >= ApiVersion(1, 52)).then(|| dto::SummaryHealth {
            status: container.state.health.as_ref().map_or("none", |health| health.status.as_str()).to_owned(),
            failing_streak: container.state.health.as_ref().map_or(0, |health| health.failing_streak),
        }),
        host_config: dto::SummaryHostConfig {
            network_mode: back::network_mode(&container.spec),
            annotations: if version >= ApiVersion(1, 46) {
                container.spec.annotations.clone()
            } else {
                BTreeMap::new()
            },
        },
        network_settings: dto::SummaryNetworks { networks: networks(container, version) },
        mounts: mounts(container),
    }
}

fn command(argv: &[String]) -> String {
    let mut words = argv.iter();
    let mut text = words.next().cloned().unwrap_or_default();
    for word in words {
        text.push(' ');
        if word.contains(' ') {
            text.push('\'');
            text.push_str(word);
            text.push('\'');
        } else {
            text.push_str(word);
        }
    }
    text
}

/// `Up 3 minutes (healthy)`, `Exited (0) 2 hours ago`.
pub fn status(state: &State, now: Timestamp) -> String {
    let since = |moment: Option<Timestamp>| moment.map_or_else(|| "some time".to_owned(), |then| time::age(then, now));
    let code = state.exit_code.unwrap_or(0);
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => {
            let health = match state.health.as_ref().map(|health| health.status) {
                None => "",
                Some(HealthStatus::Starting) => " (health: starting)",
                Some(HealthStatus::Healthy) => " (healthy)",
                Some(HealthStatus::Unhealthy) => " (unhealthy)",
            };
            format!("Up {}{health}", since(state.started_at))
        }
        Status::Paused => format!("Up {} (Paused)", since(state.started_at)),
        Status::Restarting => format!("Restarting ({code}) {} ago", since(state.finished_at)),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Exited => format!("Exited ({code}) {} ago", since(state.finished_at)),
        Status::Dead => "Dead".to_owned(),
    }
}

fn port_list(container: &Container) -> Vec<PortSummary> {
    let mut list = Vec::new();
    for (key, bindings) in ports(container) {
        let (port, protocol) = key.split_once('/').unwrap_or((&key, "tcp"));
        let Ok(private) = port.parse() else { continue };
        let protocol = protocol.to_owned();
        match bindings {
            None => list.push(PortSummary { ip: String::new(), private, public: None, protocol }),
            Some(bindings) => list.extend(bindings.into_iter().map(|binding| PortSummary {
                ip: binding.host_ip,
                private,
                public: binding.host_port.parse().ok(),
                protocol: protocol.clone(),
            })),
        }
    }
    list.sort_by(|a, b| (a.private, &a.protocol, &a.ip).cmp(&(b.private, &b.protocol, &b.ip)));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_in_words() {
        let now: Timestamp = "2024-01-02T03:04:05Z".parse().unwrap();
        let then = Some("2024-01-02T03:00:05Z".parse().unwrap());
        let up = State { status: Status::Running, started_at: then, ..State::default() };
        assert_eq!(status(&up, now), "Up 4 minutes");
        let well = hoist_engine::Health { status: HealthStatus::Healthy, ..hoist_engine::Health::default() };
        assert_eq!(status(&State { health: Some(well), ..up.clone() }, now), "Up 4 minutes (healthy)");
        let ended = State { status: Status::Exited, exit_code: Some(3), finished_at: then, ..State::default() };
        assert_eq!(status(&ended, now), "Exited (3) 4 minutes ago");
        assert_eq!(command(&["sh".into(), "-c".into(), "a b".into()]), "sh -c 'a b'");
    }
}
