//! What the schema cannot say: references must lead somewhere, and keys must
//! not contradict each other.

use std::net::IpAddr;

use super::node::{Entries, Mark, Node};
use super::report::Report;
use crate::diagnostic::nearest;
use crate::model::{ByteSize, Project};

pub(super) fn check(tree: &Node, report: &mut Report) {
    let empty = Entries::new();
    let section = |name: &str| tree.get(name).and_then(Node::as_map).unwrap_or(&empty);
    let all = Sections {
        services: section("services"),
        networks: section("networks"),
        volumes: section("volumes"),
        secrets: section("secrets"),
        configs: section("configs"),
        models: section("models"),
    };
    if all.services.is_empty() {
        report.warn(None, "the project has no services");
    }
    for (name, service) in all.services {
        let mut checker = Checker { name, node: service, all: &all, report };
        checker.source();
        checker.references();
        checker.network_mode();
        checker.addresses();
        checker.mounts();
        checker.resources();
        checker.labels();
        checker.build_and_watch();
    }
    for (kind, resources) in
        [("network", all.networks), ("volume", all.volumes), ("secret", all.secrets), ("config", all.configs)]
    {
        for (name, resource) in resources {
            external(kind, name, resource, report);
        }
    }
    for (name, secret) in all.secrets {
        sources("secret", name, secret, &["file", "environment", "driver"], report);
    }
    for (name, config) in all.configs {
        sources("config", name, config, &["file", "environment", "content"], report);
    }
}

/// Dependencies without a circle, and on services that are enabled.
pub(super) fn check_order(project: &Project, tree: &Node, report: &mut Report) {
    let mark = |service: &str, dependency: &str| {
        let at = |path: [&str; 4]| tree.at(path).map(|node| node.key);
        at(["services", service, "depends_on", dependency])
            .or_else(|| tree.at(["services", service]).map(|node| node.key))
    };
    let mut fail = |at: Option<Mark>, message: String| match at {
        Some(mark) => report.error(mark, message),
        None => report.plain_error(message),
    };
    if let Err(cycle) = project.dependency_order() {
        let at = cycle.path.first().zip(cycle.path.get(1)).and_then(|(from, to)| mark(from, to));
        fail(at, cycle.to_string());
    }
    if let Err(error) = project.check_enabled() {
        let at = match &error {
            crate::model::SelectError::Disabled { service, dependency, .. } => mark(service, dependency),
            _ => None,
        };
        fail(at, error.to_string());
    }
}

struct Sections<'a> {
    services: &'a Entries,
    networks: &'a Entries,
    volumes: &'a Entries,
    secrets: &'a Entries,
    configs: &'a Entries,
    models: &'a Entries,
}

struct Checker<'a> {
    name: &'a str,
    node: &'a Node,
    all: &'a Sections<'a>,
    report: &'a mut Report,
}

impl Checker<'_> {
    fn error(&mut self, mark: Mark, message: impl std::fmt::Display) {
        self.report.error(mark, format!("service \"{}\": {message}", self.name));
    }

    fn warn(&mut self, mark: Mark, message: impl std::fmt::Display) {
        self.report.warn(Some(mark), format!("service \"{}\": {message}", self.name));
    }

    fn defined(&mut self, kind: &str, name: &str, among: &Entries, mark: Mark) {
        if !among.contains_key(name) {
            let hint = match nearest(name, among.keys().map(String::as_str)) {
                Some(near) => format!(", did you mean \"{near}\"?"),
                None => String::new(),
            };
            self.error(mark, format_args!("refers to the undefined {kind} \"{name}\"{hint}"));
        }
    }

    fn source(&mut self) {
        let has = |key: &str| self.node.get(key).is_some_and(|node| !node.is_null());
        if !has("image") && !has("build") && !has("provider") {
            self.error(self.node.key, "has neither \"image\" nor \"build\"");
        }
        if let Some(image) = self.node.get("image")
            && image.as_str() == Some("")
            && !has("build")
        {
            self.error(image.mark, "image: is empty");
        }
    }

    fn references(&mut self) {
        let all = self.all;
        let node = self.node;
        for (name, value) in node.get("networks").and_then(Node::as_map).into_iter().flatten() {
            if name != "default" {
                self.defined("network", name, all.networks, value.key);
            }
        }
        for (name, value) in node.get("depends_on").and_then(Node::as_map).into_iter().flatten() {
            // A dependency that is not required may be missing altogether.
            let required = value.get("required").and_then(Node::text).is_none_or(|text| text != "false");
            if name == self.name {
                self.error(value.key, "depends on itself");
            } else if required {
                self.defined("service", name, all.services, value.key);
            }
        }
        for (name, value) in node.get("models").and_then(Node::as_map).into_iter().flatten() {
            self.defined("model", name, all.models, value.key);
        }
        for (key, kind, among) in [("secrets", "secret", all.secrets), ("configs", "config", all.configs)] {
            self.sources_of(node.get(key), kind, among);
        }
        self.sources_of(node.get("build").and_then(|build| build.get("secrets")), "secret", all.secrets);
        if let Some(config) = node.at(["credential_spec", "config"]) {
            self.defined("config", config.as_str().unwrap_or_default(), all.configs, config.mark);
        }
        for link in node.get("links").and_then(Node::as_seq).unwrap_or_default() {
            let target = link.as_str().unwrap_or_default().split(':').next().unwrap_or_default();
            self.defined("service", target, all.services, link.mark);
        }
        for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
            if let Some(mode) = node.get(key)
                && let Some(target) = mode.as_str().and_then(|mode| mode.strip_prefix("service:"))
            {
                self.defined("service", target, all.services, mode.mark);
            }
        }
        for from in node.get("volumes_from").and_then(Node::as_seq).unwrap_or_default() {
            let text = from.as_str().unwrap_or_default();
            if !text.starts_with("container:") {
                self.defined("service", text.split(':').next().unwrap_or_default(), all.services, from.mark);
            }
        }
        for (_, context) in node.at(["build", "additional_contexts"]).and_then(Node::as_map).into_iter().flatten() {
            if let Some(target) = context.as_str().and_then(|context| context.strip_prefix("service:")) {
                self.defined("service", target, all.services, context.mark);
            }
        }
    }

    fn sources_of(&mut self, mounts: Option<&Node>, kind: &str, among: &Entries) {
        for mount in mounts.and_then(Node::as_seq).unwrap_or_default() {
            match mount.get("source") {
                Some(source) => self.defined(kind, source.as_str().unwrap_or_default(), among, source.mark),
                None => self.error(mount.mark, format_args!("{kind}s: the key \"source\" is missing")),
            }
        }
    }

    fn network_mode(&mut self) {
        let Some(mode) = self.node.get("network_mode") else { return };
        if let Some(networks) = self.node.get("networks").filter(|n| n.as_map().is_some_and(|map| !map.is_empty())) {
            self.error(networks.key, "\"networks\" and \"network_mode\" exclude each other");
        }
        if mode.as_str() == Some("host")
            && let Some(ports) = self.node.get("ports").filter(|p| p.as_seq().is_some_and(|items| !items.is_empty()))
        {
            self.warn(ports.key, "\"ports\" has no effect with \"network_mode: host\": all ports are the host's");
        }
    }

    /// Fixed addresses lie in a subnet that the network declares.
    fn addresses(&mut self) {
        let all = self.all;
        for (name, network) in self.node.get("networks").and_then(Node::as_map).into_iter().flatten() {
            let Some(definition) = all.networks.get(name) else { continue };
            if definition.get("external").and_then(Node::text).is_some_and(|text| text == "true") {
                continue;
            }
            for key in ["ipv4_address", "ipv6_address"] {
                let Some(address) = network.get(key) else { continue };
                let Some(ip) = address.as_str().and_then(|text| text.parse::<IpAddr>().ok()) else { continue };
                let pools = definition.at(["ipam", "config"]).and_then(Node::as_seq).unwrap_or_default();
                let covered =
                    pools.iter().filter_map(|pool| pool.get("subnet")?.as_str()).any(|subnet| contains(subnet, ip));
                if !covered {
                    self.error(
                        address.mark,
                        format_args!(
                            "{key}: {ip} is in no subnet of the network \"{name}\"; declare one under its \"ipam\""
                        ),
                    );
                }
            }
        }
    }

    fn mounts(&mut self) {
        let all = self.all;
        let mut seen: Vec<(&str, Mark)> = Vec::new();
        for mount in self.node.get("volumes").and_then(Node::as_seq).unwrap_or_default() {
            let kind = mount.get("type").and_then(Node::as_str).unwrap_or_default();
            let source = mount.get("source").and_then(|s| Some((s.as_str()?, s.mark))).filter(|(s, _)| !s.is_empty());
            match (kind, source) {
                ("volume", Some((source, mark))) => {
                    if source.contains('/') && !all.volumes.contains_key(source) {
                        self.error(
                            mark,
                            format_args!("\"{source}\" is not a volume's name; a path of the host begins with \".\", \"/\" or \"~\""),
                        );
                    } else {
                        self.defined("volume", source, all.volumes, mark);
                    }
                }
                ("bind" | "image" | "npipe" | "cluster", None) => {
                    self.error(mount.mark, format_args!("a mount of type {kind} needs a \"source\""));
                }
                ("tmpfs", Some((_, mark))) => self.error(mark, "a tmpfs has no \"source\""),
                _ => {}
            }
            for options in ["bind", "volume", "tmpfs", "image"] {
                if let Some(given) = mount.get(options)
                    && options != kind
                    && given.as_map().is_some_and(|map| !map.is_empty())
                {
                    self.error(given.key, format_args!("a mount of type {kind} has no options \"{options}\""));
                }
            }
            match mount.get("target").and_then(|t| Some((t.as_str()?, t.mark))) {
                Some((target, mark)) => {
                    if let Some((_, first)) = seen.iter().find(|(known, _)| *known == target) {
                        let line = first.line;
                        self.error(mark, format_args!("two mounts at {target}; the first is on line {line}"));
                    }
                    seen.push((target, mark));
                }
                None => self.error(mount.mark, "a mount needs a \"target\""),
            }
        }
    }

    /// The same thing said in two places is said alike.
    fn resources(&mut self) {
        let pairs = [
            ("scale", "deploy.replicas"),
            ("cpus", "deploy.resources.limits.cpus"),
            ("mem_limit", "deploy.resources.limits.memory"),
            ("pids_limit", "deploy.resources.limits.pids"),
            ("mem_reservation", "deploy.resources.reservations.memory"),
        ];
        for (short, long) in pairs {
            let (Some(a), Some(b)) = (self.node.get(short), self.node.at(long.split('.'))) else { continue };
            let number = |node: &Node| node.text().and_then(|text| text.parse::<f64>().ok());
            if number(a) != number(b) {
                self.error(a.mark, format_args!("\"{short}\" and \"{long}\" are both given and differ"));
            }
        }
        let replicas = self.node.get("scale").or_else(|| self.node.at(["deploy", "replicas"]));
        if let (Some(name), Some(count)) = (self.node.get("container_name"), replicas.and_then(Node::text))
            && count.parse::<u64>().is_ok_and(|count| count > 1)
        {
            self.error(name.mark, format_args!("\"container_name\" allows one container, but there are to be {count}"));
        }
        let bytes = |key: &str| self.node.get(key).and_then(|n| n.text()?.parse::<ByteSize>().ok()).map(|b| b.0);
        if let (Some(limit), Some(swap)) = (bytes("mem_limit"), bytes("memswap_limit"))
            && swap > 0
            && swap < limit
            && let Some(node) = self.node.get("memswap_limit")
        {
            self.error(
                node.mark,
                "\"memswap_limit\" is memory and swap together: it cannot be less than \"mem_limit\"",
            );
        }
        let limits = [self.node.get("ulimits"), self.node.at(["build", "ulimits"])];
        for (name, limit) in limits.into_iter().flatten().flat_map(|node| node.as_map().into_iter().flatten()) {
            let bound = |key| limit.get(key).and_then(|node| node.text()?.parse::<i64>().ok());
            if let (Some(soft), Some(hard)) = (bound("soft"), bound("hard"))
                && hard >= 0
                && (soft < 0 || soft > hard)
            {
                self.error(
                    limit.mark,
                    format_args!("ulimits.{name}: the soft limit {soft} is above the hard limit {hard}"),
                );
            }
        }
        let requests = [self.node.get("gpus"), self.node.at(["deploy", "resources", "reservations", "devices"])];
        for request in requests.into_iter().flatten().flat_map(|node| node.as_seq().unwrap_or_default()) {
            if let (Some(count), Some(_)) = (request.get("count"), request.get("device_ids")) {
                self.error(count.key, "\"count\" and \"device_ids\" exclude each other");
            }
        }
    }

    fn labels(&mut self) {
        for (key, value) in self.node.get("labels").and_then(Node::as_map).into_iter().flatten() {
            if key.starts_with("com.docker.compose.") {
                self.error(
                    value.key,
                    format_args!("the label \"{key}\" is reserved, as are all of com.docker.compose"),
                );
            }
        }
    }

    fn build_and_watch(&mut self) {
        if let Some(build) = self.node.get("build") {
            if let (Some(inline), Some(_)) = (build.get("dockerfile_inline"), build.get("dockerfile")) {
                self.error(inline.key, "\"dockerfile\" and \"dockerfile_inline\" exclude each other");
            }
            let platforms = build.get("platforms").and_then(Node::as_seq).unwrap_or_default();
            if let Some(platform) = self.node.get("platform")
                && !platforms.is_empty()
                && !platforms.contains(platform)
            {
                let text = platform.text().unwrap_or_default();
                self.error(platform.mark, format_args!("\"build.platforms\" does not contain the platform {text}"));
            }
        }
        for rule in self.node.at(["develop", "watch"]).and_then(Node::as_seq).unwrap_or_default() {
            let action = rule.get("action").and_then(Node::as_str).unwrap_or_default();
            if action.starts_with("sync") && rule.get("target").is_none() {
                self.error(rule.mark, format_args!("a watch rule with the action {action} needs a \"target\""));
            }
            if action == "sync+exec" && rule.get("exec").is_none() {
                self.error(rule.mark, "a watch rule with the action sync+exec needs \"exec\"");
            }
            if action == "rebuild" && self.node.get("build").is_none() {
                self.error(rule.mark, "a watch rule with the action rebuild needs \"build\"");
            }
        }
    }
}

fn contains(subnet: &str, ip: IpAddr) -> bool {
    let Some((base, length)) = subnet.split_once('/') else { return false };
    match (base.parse::<IpAddr>(), ip, length.parse::<u32>()) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(ip), Ok(length)) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            u32::from(base) & mask == u32::from(ip) & mask
        }
        (Ok(IpAddr::V6(base)), IpAddr::V6(ip), Ok(length)) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            u128::from(base) & mask == u128::from(ip) & mask
        }
        _ => false,
    }
}

/// What exists elsewhere is described elsewhere: only its name counts.
fn external(kind: &str, name: &str, resource: &Node, report: &mut Report) {
    if resource.get("external").and_then(Node::text).is_none_or(|text| text != "true") {
        return;
    }
    for (key, value) in resource.as_map().into_iter().flatten() {
        if !matches!(key.as_str(), "external" | "name") && !key.starts_with("x-") {
            report.error(value.key, format!("{kind} \"{name}\": is external, so \"{key}\" has no place here"));
        }
    }
}

/// Exactly one of the keys says where the content comes from.
fn sources(kind: &str, name: &str, resource: &Node, keys: &[&str], report: &mut Report) {
    if resource.get("external").and_then(Node::text).is_some_and(|text| text == "true") {
        return;
    }
    // The loader itself adds the content of a variable.
    let from_variable = resource.get("environment").is_some();
    let given: Vec<&&str> =
        keys.iter().filter(|key| resource.get(key).is_some() && !(from_variable && **key == "content")).collect();
    match given[..] {
        [_] => {}
        [] => {
            let list = keys.join("\", \"");
            report.error(resource.key, format!("{kind} \"{name}\": needs one of \"{list}\" or \"external: true\""));
        }
        [first, second, ..] => {
            let mark = resource.get(second).map_or(resource.key, |node| node.key);
            report.error(mark, format!("{kind} \"{name}\": \"{first}\" and \"{second}\" exclude each other"));
        }
    }
}
