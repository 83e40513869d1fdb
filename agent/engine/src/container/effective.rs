//! Spec and image put together: a pure function.

use std::collections::HashMap;
use std::time::Duration;

use hoist_image::ContainerConfig;
use hoist_proto::id::ContainerId;
use hoist_proto::signal::Signal;
use hoist_proto::spec::{ContainerSpec, Healthcheck, NamespaceMode, NetworkMode};

use crate::model::Effective;
use crate::{EngineError, Result};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is really run. `host` is the machine's own name, for containers that have no other.
pub(crate) fn effective(
    spec: &ContainerSpec,
    image: &ContainerConfig,
    id: &ContainerId,
    host: &str,
) -> Result<Effective> {
    let entrypoint = spec.entrypoint.clone().or_else(|| image.entrypoint.clone()).unwrap_or_default();
    let command = match (&spec.command, &spec.entrypoint) {
        (Some(command), _) => command.clone(),
        // Arguments that the image has for its own entrypoint make no sense for another.
        (None, Some(_)) => Vec::new(),
        (None, None) => image.cmd.clone().unwrap_or_default(),
    };
    // `--entrypoint ""` clears it, which arrives as one empty word.
    let entrypoint = if entrypoint == [""] { Vec::new() } else { entrypoint };
    if entrypoint.is_empty() && command.is_empty() {
        return Err(EngineError::InvalidParameter(format!(
            "no command specified: neither the container nor image {:?} has one",
            spec.image
        )));
    }
    let shares_host_name = spec.namespaces.uts == NamespaceMode::Host
        || (spec.network_mode == NetworkMode::Host && spec.hostname.is_none());
    let hostname = match &spec.hostname {
        Some(name) if !name.is_empty() => name.clone(),
        _ if shares_host_name => host.to_owned(),
        _ => id.short().to_owned(),
    };
    let mut labels = image.labels.clone();
    labels.extend(spec.labels.clone());
    let mut exposed_ports = image.exposed_ports.clone();
    for port in &spec.expose {
        exposed_ports.extend(expand_ports(port)?);
    }
    for port in &spec.ports {
        exposed_ports.extend((port.container_port.0..=port.container_port.1).map(|p| format!("{p}/{}", port.protocol)));
    }
    for port in &mut exposed_ports {
        if !port.contains('/') {
            port.push_str("/tcp");
        }
    }
    exposed_ports.sort_by_key(|port| {
        let (number, protocol) = port.split_once('/').unwrap_or((port, ""));
        (number.parse::<u16>().unwrap_or(0), protocol.to_owned())
    });
    exposed_ports.dedup();
    let effective = Effective {
        env: environment(spec, image, &hostname),
        own_env: Some(own(spec, image)),
        entrypoint,
        command,
        working_dir: spec
            .working_dir
            .clone()
            .filter(|dir| !dir.is_empty())
            .unwrap_or_else(|| if image.working_dir.is_empty() { "/".into() } else { image.working_dir.clone() }),
        user: spec.user.clone().unwrap_or_else(|| image.user.clone()),
        hostname,
        labels,
        exposed_ports,
        volumes: image.volumes.clone(),
        healthcheck: healthcheck(spec, image)?,
        stop_signal: spec.stop_signal.clone().or_else(|| image.stop_signal.clone()).unwrap_or_default(),
        stop_timeout: spec
            .stop_grace_period
            .or_else(|| image.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)),
        shell: image.shell.clone(),
        on_build: image.on_build.clone(),
    };
    if !effective.working_dir.starts_with('/') {
        return Err(EngineError::InvalidParameter(format!(
            "the working directory {:?} is invalid: it must be an absolute path",
            effective.working_dir
        )));
    }
    stop_signal(&effective)?;
    Ok(effective)
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn expand_ports(text: &str) -> Result<Vec<String>> {
    let bad = || EngineError::InvalidParameter(format!("invalid exposed port {text:?}"));
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
    if first == 0 || last < first || !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(bad());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// The image's variables, then the container's own; later ones win, in the place of the first.
fn environment(spec: &ContainerSpec, image: &ContainerConfig, hostname: &str) -> Vec<String> {
    let mut env: Vec<Option<String>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut defaults = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if spec.tty {
        defaults.push("TERM=xterm".into());
    }
    for variable in defaults.iter().chain(&image.env).chain(&spec.env) {
        let key = variable.split_once('=').map_or(variable.as_str(), |(key, _)| key);
        let value = variable.contains('=').then(|| variable.clone());
        match places.get(key) {
            Some(&place) => env[place] = value,
            None => {
                places.insert(key.to_owned(), env.len());
                env.push(value);
            }
        }
    }
    env.into_iter().flatten().collect()
}

/// The container's own variables, and those of the image that it does not set.
fn own(spec: &ContainerSpec, image: &ContainerConfig) -> Vec<String> {
    let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
    let theirs = image.env.iter().filter(|line| !spec.env.iter().any(|own| name(own) == name(line)));
    spec.env.iter().chain(theirs).cloned().collect()
}

/// The container's settings over the image's; `None` when there is nothing to run.
fn healthcheck(spec: &ContainerSpec, image: &ContainerConfig) -> Result<Option<Healthcheck>> {
    let nanos = |value: i64| u64::try_from(value).ok().filter(|n| *n > 0).map(Duration::from_nanos);
    let base = image.healthcheck.as_ref().map(|check| Healthcheck {
        test: check.test.clone(),
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        start_period: nanos(check.start_period),
        start_interval: nanos(check.start_interval),
        retries: u32::try_from(check.retries).ok().filter(|n| *n > 0),
    });
    let check = match (spec.healthcheck.clone(), base) {
        (None, base) => base,
        (Some(own), None) => Some(own),
        (Some(own), Some(base)) => Some(Healthcheck {
            test: if own.test.is_empty() { base.test } else { own.test },
            interval: own.interval.or(base.interval),
            timeout: own.timeout.or(base.timeout),
            start_period: own.start_period.or(base.start_period),
            start_interval: own.start_interval.or(base.start_interval),
            retries: own.retries.or(base.retries),
        }),
    };
    let Some(check) = check else { return Ok(None) };
    match check.test.first().map(String::as_str) {
        None | Some("NONE") => Ok(None),
        Some("CMD" | "CMD-SHELL") if check.test.len() > 1 => Ok(Some(check)),
        Some(_) => Err(EngineError::InvalidParameter(format!(
            "invalid healthcheck test {:?}: it must begin with CMD, CMD-SHELL or NONE",
            check.test
        ))),
    }
}

/// The number of the signal that asks the container to end.
pub(crate) fn stop_signal(effective: &Effective) -> Result<i32> {
    if effective.stop_signal.is_empty() { Ok(15) } else { signal_number(&effective.stop_signal) }
}

/// `TERM`, `SIGTERM`, `15`, `RTMIN+3`.
pub(crate) fn signal_number(text: &str) -> Result<i32> {
    match text.parse::<Signal>() {
        Ok(signal) => Ok(signal.number()),
        Err(error) => Err(EngineError::InvalidParameter(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(spec: &ContainerSpec, image: &ContainerConfig) -> Effective {
        effective(spec, image, &ContainerId::random(), "machine").unwrap()
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_image_gives_what_the_spec_does_not() {
        let image = ContainerConfig {
            entrypoint: Some(words("/entry")),
            cmd: Some(words("arg")),
            env: words("A=1 B=2 C=3"),
            exposed_ports: words("80 443/tcp"),
            ..ContainerConfig::default()
        };
        let own = merge(&ContainerSpec { env: words("B=x D=4 C"), ..ContainerSpec::default() }, &image);
        assert_eq!((own.entrypoint, own.command), (words("/entry"), words("arg")));
        assert_eq!(own.env[2..], words("A=1 B=x D=4"));
        assert_eq!(own.exposed_ports, words("80/tcp 443/tcp"));
        let spec = ContainerSpec { entrypoint: Some(words("/other")), ..ContainerSpec::default() };
        let own = merge(&spec, &image);
        assert_eq!((own.entrypoint, own.command), (words("/other"), words("")));
        let spec = ContainerSpec { entrypoint: Some(vec![String::new()]), ..ContainerSpec::default() };
        assert!(effective(&spec, &image, &ContainerId::random(), "").is_err());
    }

    #[test]
    fn signals_have_many_names() {
        for (text, number) in [("TERM", 15), ("sigkill", 9), ("15", 15), ("RTMIN+3", 37), ("SIGRTMAX", 64)] {
            assert_eq!(signal_number(text).unwrap(), number, "{text}");
        }
        for text in ["", "0", "65", "FOO", "RTMIN+31"] {
            assert!(signal_number(text).is_err(), "{text}");
        }
    }
}
