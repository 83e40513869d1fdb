//! The scalars that mean more than text: each is read once here, where its
//! place is known, and stands in the tree in its one form from then on.

use std::sync::LazyLock;

use super::node::{Node, Value};
use super::pattern::{Path, Table};
use super::report::Report;
use super::short;
use crate::diagnostic::nearest;
use crate::model::{ByteSize, Duration, FileMode, PullPolicy};

type Read = fn(&str, &Value) -> Result<Value, String>;

static FORMATS: LazyLock<Table<Read>> = LazyLock::new(|| {
    Table::new(&[
        ("services.*.attach", boolean),
        ("services.*.blkio_config.weight", weight),
        ("services.*.blkio_config.*.*.weight", weight),
        ("services.*.blkio_config.*.*.rate", bytes),
        ("services.*.build.no_cache", boolean),
        ("services.*.build.privileged", boolean),
        ("services.*.build.pull", boolean),
        ("services.*.build.secrets.*.mode", mode),
        ("services.*.build.shm_size", bytes),
        ("services.*.build.ulimits.*", limit),
        ("services.*.build.ulimits.*.hard", limit),
        ("services.*.build.ulimits.*.soft", limit),
        ("services.*.configs.*.mode", mode),
        ("services.*.container_name", container_name),
        ("services.*.cpu_count", natural),
        ("services.*.cpu_percent", float),
        ("services.*.cpu_period", natural),
        ("services.*.cpu_quota", integer),
        ("services.*.cpu_rt_period", microseconds),
        ("services.*.cpu_rt_runtime", microseconds),
        ("services.*.cpu_shares", natural),
        ("services.*.cpus", float),
        ("services.*.depends_on.*.required", boolean),
        ("services.*.depends_on.*.restart", boolean),
        ("services.*.deploy.endpoint_mode", endpoint_mode),
        ("services.*.deploy.mode", deploy_mode),
        ("services.*.deploy.placement.max_replicas_per_node", natural),
        ("services.*.deploy.replicas", natural),
        ("services.*.deploy.resources.limits.cpus", float),
        ("services.*.deploy.resources.limits.memory", bytes),
        ("services.*.deploy.resources.limits.pids", integer),
        ("services.*.deploy.resources.reservations.cpus", float),
        ("services.*.deploy.resources.reservations.devices.*.count", count),
        ("services.*.deploy.resources.reservations.generic_resources.*.discrete_resource_spec.value", natural),
        ("services.*.deploy.resources.reservations.memory", bytes),
        ("services.*.deploy.restart_policy.condition", restart_condition),
        ("services.*.deploy.restart_policy.delay", duration),
        ("services.*.deploy.restart_policy.max_attempts", natural),
        ("services.*.deploy.restart_policy.window", duration),
        ("services.*.deploy.rollback_config.delay", duration),
        ("services.*.deploy.rollback_config.failure_action", rollback_failure),
        ("services.*.deploy.rollback_config.max_failure_ratio", float),
        ("services.*.deploy.rollback_config.monitor", duration),
        ("services.*.deploy.rollback_config.parallelism", natural),
        ("services.*.deploy.update_config.delay", duration),
        ("services.*.deploy.update_config.failure_action", update_failure),
        ("services.*.deploy.update_config.max_failure_ratio", float),
        ("services.*.deploy.update_config.monitor", duration),
        ("services.*.deploy.update_config.parallelism", natural),
        ("services.*.develop.watch.*.exec.privileged", boolean),
        ("services.*.develop.watch.*.initial_sync", boolean),
        ("services.*.dns.*", address),
        ("services.*.env_file.*.required", boolean),
        ("services.*.expose.*", expose),
        ("services.*.gpus.*.count", count),
        ("services.*.healthcheck.disable", boolean),
        ("services.*.healthcheck.interval", duration),
        ("services.*.healthcheck.retries", natural),
        ("services.*.healthcheck.start_interval", duration),
        ("services.*.healthcheck.start_period", duration),
        ("services.*.healthcheck.timeout", duration),
        ("services.*.init", boolean),
        ("services.*.mac_address", mac),
        ("services.*.mem_limit", bytes),
        ("services.*.mem_reservation", bytes),
        ("services.*.mem_swappiness", percentage),
        ("services.*.memswap_limit", bytes),
        ("services.*.networks.*.gw_priority", float),
        ("services.*.networks.*.ipv4_address", ipv4),
        ("services.*.networks.*.ipv6_address", ipv6),
        ("services.*.networks.*.link_local_ips.*", address),
        ("services.*.networks.*.mac_address", mac),
        ("services.*.networks.*.priority", float),
        ("services.*.oom_kill_disable", boolean),
        ("services.*.oom_score_adj", oom_score),
        ("services.*.pids_limit", integer),
        ("services.*.ports.*.host_ip", address),
        ("services.*.ports.*.protocol", protocol),
        ("services.*.ports.*.published", published),
        ("services.*.ports.*.target", port),
        ("services.*.post_start.*.privileged", boolean),
        ("services.*.pre_start.*.per_replica", boolean),
        ("services.*.pre_start.*.privileged", boolean),
        ("services.*.pre_stop.*.privileged", boolean),
        ("services.*.privileged", boolean),
        ("services.*.pull_policy", pull_policy),
        ("services.*.pull_refresh_after", duration_text),
        ("services.*.read_only", boolean),
        ("services.*.restart", restart),
        ("services.*.scale", natural),
        ("services.*.secrets.*.mode", mode),
        ("services.*.shm_size", bytes),
        ("services.*.stdin_open", boolean),
        ("services.*.stop_grace_period", duration),
        ("services.*.tty", boolean),
        ("services.*.ulimits.*", limit),
        ("services.*.ulimits.*.hard", limit),
        ("services.*.ulimits.*.soft", limit),
        ("services.*.use_api_socket", boolean),
        ("services.*.volumes.*.bind.create_host_path", boolean),
        ("services.*.volumes.*.bind.propagation", propagation),
        ("services.*.volumes.*.read_only", boolean),
        ("services.*.volumes.*.target", mount_target),
        ("services.*.volumes.*.tmpfs.mode", mode),
        ("services.*.volumes.*.tmpfs.size", bytes),
        ("services.*.volumes.*.volume.nocopy", boolean),
        ("configs.*.external", boolean),
        ("models.*.context_size", natural),
        ("networks.*.attachable", boolean),
        ("networks.*.enable_ipv4", boolean),
        ("networks.*.enable_ipv6", boolean),
        ("networks.*.external", boolean),
        ("networks.*.internal", boolean),
        ("networks.*.ipam.config.*.aux_addresses.*", address),
        ("networks.*.ipam.config.*.gateway", address),
        ("networks.*.ipam.config.*.ip_range", subnet),
        ("networks.*.ipam.config.*.subnet", subnet),
        ("secrets.*.external", boolean),
        ("volumes.*.external", boolean),
    ])
});

/// Reads every scalar of the table, reporting each that is not what it should be.
pub(super) fn read(node: &mut Node, report: &mut Report) {
    walk(node, &mut Path::default(), report);
}

fn walk(node: &mut Node, path: &mut Path, report: &mut Report) {
    match &mut node.value {
        Value::Map(map) => {
            for (key, value) in map.iter_mut() {
                if path.is_extension(key) {
                    continue;
                }
                path.push(key.as_str());
                walk(value, path, report);
                path.pop();
            }
        }
        Value::Seq(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                walk(item, path, report);
                path.pop();
            }
        }
        Value::Null => {}
        _ if node.waiting => {}
        value => {
            let Some(read) = FORMATS.get(path) else { return };
            let text = Node::new(value.clone(), node.mark).text().unwrap_or_default();
            match read(&text, value) {
                Ok(read) => *value = read,
                Err(message) => report.error_at(node.mark, path, message),
            }
        }
    }
}

fn boolean(text: &str, _: &Value) -> Result<Value, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Ok(Value::Bool(true)),
        "false" | "no" | "n" | "off" | "0" => Ok(Value::Bool(false)),
        _ => Err(format!("expected true or false, found \"{text}\"")),
    }
}

fn whole(text: &str, value: &Value, low: i64, high: i64) -> Result<Value, String> {
    let number = match value {
        Value::Int(i) => i64::try_from(*i).ok(),
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => Some(*f as i64),
        _ => text.trim().parse().ok(),
    };
    match number {
        Some(n) if (low..=high).contains(&n) => Ok(Value::Int(n.into())),
        Some(n) if high == i64::MAX => Err(format!("{n} is less than {low}")),
        Some(n) => Err(format!("{n} is not between {low} and {high}")),
        None => Err(format!("expected a whole number, found \"{text}\"")),
    }
}

fn integer(text: &str, value: &Value) -> Result<Value, String> {
    whole(text, value, i64::MIN, i64::MAX)
}

fn natural(text: &str, value: &Value) -> Result<Value, String> {
    whole(text, value, 0, i64::MAX)
}

fn limit(text: &str, value: &Value) -> Result<Value, String> {
    match text {
        "unlimited" | "infinity" => Ok(Value::Int(-1)),
        _ => whole(text, value, -1, i64::MAX),
    }
}

fn weight(text: &str, value: &Value) -> Result<Value, String> {
    whole(text, value, 0, 1000)
}

fn percentage(text: &str, value: &Value) -> Result<Value, String> {
    whole(text, value, -1, 100)
}

fn oom_score(text: &str, value: &Value) -> Result<Value, String> {
    whole(text, value, -1000, 1000)
}

fn port(text: &str, value: &Value) -> Result<Value, String> {
    whole(text, value, 1, 65535).map_err(|_| format!("expected a port from 1 to 65535, found \"{text}\""))
}

fn count(text: &str, value: &Value) -> Result<Value, String> {
    match text {
        "all" => Ok(Value::Int(-1)),
        _ => whole(text, value, -1, i64::MAX).map_err(|_| format!("expected a number or \"all\", found \"{text}\"")),
    }
}

fn float(text: &str, value: &Value) -> Result<Value, String> {
    match (value, text.trim().parse::<f64>()) {
        (Value::Int(i), _) => Ok(Value::Int(*i)),
        (_, Ok(number)) if number.is_finite() => Ok(Value::Float(number)),
        _ => Err(format!("expected a number, found \"{text}\"")),
    }
}

fn bytes(text: &str, _: &Value) -> Result<Value, String> {
    let bytes: ByteSize = text.parse().map_err(|error| format!("{error}"))?;
    Ok(Value::String(bytes.to_string()))
}

fn duration(text: &str, _: &Value) -> Result<Value, String> {
    let duration: Duration = text.parse().map_err(|error| match text.parse::<u64>() {
        Ok(_) => format!("\"{text}\" has no unit; write {text}s for seconds"),
        Err(_) => format!("{error}"),
    })?;
    Ok(Value::String(duration.to_string()))
}

fn duration_text(text: &str, value: &Value) -> Result<Value, String> {
    duration(text, value).map(|_| Value::String(text.to_owned()))
}

fn microseconds(text: &str, value: &Value) -> Result<Value, String> {
    if let Ok(number) = natural(text, value) {
        return Ok(number);
    }
    let duration: Duration = text.parse().map_err(|error| format!("{error}"))?;
    Ok(Value::Int((duration.0 / 1000).into()))
}

/// A YAML number is the mode itself, text is octal.
fn mode(text: &str, value: &Value) -> Result<Value, String> {
    let mode = match value {
        Value::Int(i) => u32::try_from(*i).ok().filter(|mode| *mode <= 0o7777).map(FileMode),
        _ => text.parse().ok(),
    };
    match mode {
        Some(mode) => Ok(Value::String(mode.to_string())),
        None => Err(format!("\"{text}\" is not an octal file mode such as 0440")),
    }
}

fn address(text: &str, _: &Value) -> Result<Value, String> {
    match text.split('%').next().unwrap_or(text).parse::<std::net::IpAddr>() {
        Ok(_) => Ok(Value::String(text.to_owned())),
        Err(_) => Err(format!("\"{text}\" is not an IP address")),
    }
}

fn ipv4(text: &str, _: &Value) -> Result<Value, String> {
    match text.parse::<std::net::Ipv4Addr>() {
        Ok(_) => Ok(Value::String(text.to_owned())),
        Err(_) => Err(format!("\"{text}\" is not an IPv4 address")),
    }
}

fn ipv6(text: &str, _: &Value) -> Result<Value, String> {
    match text.parse::<std::net::Ipv6Addr>() {
        Ok(_) => Ok(Value::String(text.to_owned())),
        Err(_) => Err(format!("\"{text}\" is not an IPv6 address")),
    }
}

fn subnet(text: &str, _: &Value) -> Result<Value, String> {
    let parsed = text.split_once('/').and_then(|(address, length)| {
        let address: std::net::IpAddr = address.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        (length <= if address.is_ipv4() { 32 } else { 128 }).then_some(())
    });
    match parsed {
        Some(()) => Ok(Value::String(text.to_owned())),
        None => Err(format!("\"{text}\" is not a subnet such as 172.28.0.0/16")),
    }
}

fn mac(text: &str, _: &Value) -> Result<Value, String> {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    if parts.len() == 6 && parts.iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit())) {
        Ok(Value::String(text.to_owned()))
    } else {
        Err(format!("\"{text}\" is not a MAC address such as 02:42:ac:11:00:02"))
    }
}

fn published(text: &str, _: &Value) -> Result<Value, String> {
    match short::range(text) {
        Some(_) => Ok(Value::String(text.to_owned())),
        None => Err(format!("\"{text}\" is neither a port nor a range such as 8000-8010")),
    }
}

fn protocol(text: &str, _: &Value) -> Result<Value, String> {
    match text {
        "tcp" | "udp" | "sctp" => Ok(Value::String(text.to_owned())),
        _ => Err(format!("the protocol \"{text}\" is none of tcp, udp, sctp")),
    }
}

fn expose(text: &str, _: &Value) -> Result<Value, String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let fits = short::range(ports).is_some_and(|(first, _)| first > 0);
    if fits && matches!(protocol.to_ascii_lowercase().as_str(), "tcp" | "udp" | "sctp") {
        Ok(Value::String(text.to_owned()))
    } else {
        Err(format!("\"{text}\" is not a container port such as 3000 or 8080-8085/tcp"))
    }
}

fn container_name(text: &str, _: &Value) -> Result<Value, String> {
    let rest = text.strip_prefix(|c: char| c.is_ascii_alphanumeric()).unwrap_or_default();
    if !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        Ok(Value::String(text.to_owned()))
    } else {
        Err(format!(
            "\"{text}\" is not a container name: a letter or digit, then letters, digits, \"_\", \".\" and \"-\", two characters at least"
        ))
    }
}

fn pull_policy(text: &str, _: &Value) -> Result<Value, String> {
    match PullPolicy::parse(text) {
        Ok(_) => Ok(Value::String(if text == "if_not_present" { "missing" } else { text }.to_owned())),
        Err(_) => Err(format!(
            "expected always, never, missing, build, refresh, daily, weekly or every_<duration>, found \"{text}\""
        )),
    }
}

fn restart(text: &str, _: &Value) -> Result<Value, String> {
    let fits = match text.split_once(':') {
        Some(("on-failure", retries)) => retries.parse::<u32>().is_ok(),
        Some(_) => false,
        None => matches!(text, "no" | "always" | "on-failure" | "unless-stopped"),
    };
    match fits {
        true => Ok(Value::String(text.to_owned())),
        false => Err(format!("expected no, always, on-failure[:max-retries] or unless-stopped, found \"{text}\"")),
    }
}

/// One of a few words.
fn word(text: &str, words: &[&str]) -> Result<Value, String> {
    if words.contains(&text) {
        return Ok(Value::String(text.to_owned()));
    }
    let hint = match nearest(text, words.iter().copied()) {
        Some(near) => format!(", did you mean \"{near}\"?"),
        None => String::new(),
    };
    Err(format!("expected one of {}, found \"{text}\"{hint}", words.join(", ")))
}

fn deploy_mode(text: &str, _: &Value) -> Result<Value, String> {
    word(text, &["replicated", "global", "replicated-job", "global-job"])
}

fn endpoint_mode(text: &str, _: &Value) -> Result<Value, String> {
    word(text, &["vip", "dnsrr"])
}

/// The words of `restart` are taken for those that they mean.
fn restart_condition(text: &str, _: &Value) -> Result<Value, String> {
    let text = match text {
        "no" => "none",
        "always" | "unless-stopped" => "any",
        other => other,
    };
    word(text, &["none", "on-failure", "any"])
}

fn update_failure(text: &str, _: &Value) -> Result<Value, String> {
    word(text, &["continue", "rollback", "pause"])
}

fn rollback_failure(text: &str, _: &Value) -> Result<Value, String> {
    word(text, &["continue", "pause"])
}

fn propagation(text: &str, _: &Value) -> Result<Value, String> {
    word(text, &["rprivate", "private", "rshared", "shared", "rslave", "slave"])
}

fn mount_target(text: &str, _: &Value) -> Result<Value, String> {
    match text.starts_with('/') {
        true => Ok(Value::String(text.to_owned())),
        false => Err(format!("\"{text}\" is not an absolute path in the container")),
    }
}
