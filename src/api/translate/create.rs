//! `POST /containers/create`: Docker's JSON becomes the one description of a container.

use std::{str::FromStr, time::Duration};

use hoist_proto::spec::{ContainerSpec, Healthcheck, NetworkMode, Noted};

use super::{host, mounts, networks, ports};
use crate::api::{
    dto::config::{Config, HealthConfig},
    error::ApiError,
    version::ApiVersion,
};

/// What is asked for beside the body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<'a> {
    pub name: Option<&'a str>,
    pub platform: Option<&'a str>,
}

/// A description and what the person should know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Translated {
    pub spec: ContainerSpec,
    pub warnings: Vec<String>,
}

/// Turns the body of a create request into a description.
///
/// # Errors
/// 400 for values that make no sense or are not supported, each by name.
pub fn container(query: Query<'_>, mut body: Config, version: ApiVersion) -> Result<Translated, ApiError> {
    let host = *body.host_config.take().unwrap_or_default();
    let networking = body.networking_config.take().unwrap_or_default();
    let mut warnings = Vec::new();
    let noted = Noted {
        attached: [body.attach_stdin, body.attach_stdout, body.attach_stderr],
        console_size: host.console_size,
        id_file: host.container_id_file.clone(),
        volume_driver: host.volume_driver.clone(),
        network_disabled: body.network_disabled,
    };
    let mut spec = ContainerSpec {
        noted: Some(noted),
        name: query.name.map(name).transpose()?.unwrap_or_default(),
        platform: query.platform.map(str::to_owned),
        ..ContainerSpec::default()
    };
    mounts::apply(&mut spec, &body, &host, &mut warnings)?;
    ports::apply(&mut spec, &body, &host)?;
    networks::apply(&mut spec, &body, &host, networking)?;
    host::apply(&mut spec, host, version, &mut warnings)?;
    config(&mut spec, body, &mut warnings)?;
    if spec.auto_remove && spec.restart != hoist_proto::spec::RestartPolicy::No {
        return Err(ApiError::bad_request("can't create 'AutoRemove' container with restart policy"));
    }
    Ok(Translated { spec, warnings })
}

/// A container's name, without the slash that older clients put before it.
fn name(text: &str) -> Result<String, ApiError> {
    let name = text.strip_prefix('/').unwrap_or(text);
    let mut chars = name.chars();
    let valid = chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && name.len() > 1
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if valid {
        Ok(name.to_owned())
    } else {
        Err(ApiError::bad_request(format!(
            "Invalid container name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )))
    }
}

fn config(spec: &mut ContainerSpec, body: Config, warnings: &mut Vec<String>) -> Result<(), ApiError> {
    if body.image.is_empty() {
        return Err(ApiError::bad_request("no image was given: Image is empty"));
    }
    if let Some(bad) = body.env.iter().find(|entry| entry.is_empty() || entry.starts_with('=')) {
        return Err(ApiError::bad_request(format!("invalid environment variable: {bad}")));
    }
    if body.on_build.is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::bad_request("OnBuild is a part of images; a container cannot have it"));
    }
    if body.args_escaped {
        return Err(ApiError::bad_request("ArgsEscaped is supported on Windows only"));
    }
    if body.shell.is_some_and(|shell| !shell.is_empty()) {
        warnings.push("Shell is a part of images and has no effect on a container".to_owned());
    }
    if body.network_disabled {
        spec.network_mode = NetworkMode::None;
        spec.networks.clear();
    }
    spec.image = body.image;
    spec.entrypoint = body.entrypoint;
    spec.command = body.cmd.filter(|cmd| !cmd.is_empty());
    spec.env = body.env;
    spec.working_dir = text(body.working_dir);
    if let Some(dir) = spec.working_dir.as_deref().filter(|dir| !dir.starts_with('/')) {
        return Err(ApiError::bad_request(format!(
            "the working directory '{dir}' is invalid, it needs to be an absolute path"
        )));
    }
    spec.user = text(body.user);
    spec.hostname = text(body.hostname);
    spec.domainname = text(body.domainname);
    spec.labels = body.labels;
    spec.tty = body.tty;
    spec.open_stdin = body.open_stdin;
    spec.stdin_once = body.stdin_once;
    spec.stop_signal = text(body.stop_signal);
    spec.stop_grace_period = match body.stop_timeout {
        // Docker's -1 waits without end.
        Some(seconds) if seconds < 0 => Some(Duration::from_secs(u64::from(u32::MAX))),
        Some(seconds) => Some(Duration::from_secs(seconds.unsigned_abs())),
        None => None,
    };
    spec.healthcheck = body.healthcheck.map(healthcheck).transpose()?;
    Ok(())
}

pub(super) fn healthcheck(config: HealthConfig) -> Result<Healthcheck, ApiError> {
    if let Some(first) = config.test.first()
        && !matches!(first.as_str(), "" | "NONE" | "CMD" | "CMD-SHELL")
    {
        return Err(ApiError::bad_request(format!(
            "unknown type of healthcheck {first:?}: expected NONE, CMD or CMD-SHELL"
        )));
    }
    let span = |name: &str, nanos: i64| match nanos {
        0 => Ok(None),
        1_000_000.. => Ok(Some(Duration::from_nanos(nanos.unsigned_abs()))),
        _ => Err(ApiError::bad_request(format!("{name} in Healthcheck cannot be less than 1ms"))),
    };
    let retries = u32::try_from(config.retries)
        .map_err(|_| ApiError::bad_request(format!("Retries in Healthcheck cannot be {}", config.retries)))?;
    Ok(Healthcheck {
        test: config.test,
        interval: span("Interval", config.interval)?,
        timeout: span("Timeout", config.timeout)?,
        start_period: span("StartPeriod", config.start_period)?,
        start_interval: span("StartInterval", config.start_interval)?,
        retries: (retries > 0).then_some(retries),
    })
}

/// An empty text is not given.
pub(super) fn text(value: String) -> Option<String> {
    Some(value).filter(|value| !value.is_empty())
}

/// Parses a part of the body, with an error that names the field.
pub(super) fn parsed<T: FromStr>(field: &str, value: &str, expected: &str) -> Result<T, ApiError> {
    value.parse().map_err(|_| ApiError::bad_request(format!("invalid {field} {value:?}: expected {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::body;

    fn translate(json: &str) -> Result<Translated, ApiError> {
        container(Query { name: Some("/web"), platform: None }, body::parse(json.as_bytes())?, ApiVersion::NEWEST)
    }

    #[test]
    fn a_plain_container() {
        let made = translate(
            r#"{"Image":"busybox","Cmd":"ls","Entrypoint":null,"Env":["A=b","C"],"Tty":true,"Labels":{"x":"y"},
                "Healthcheck":{"Test":["CMD","true"],"Interval":2000000000},"StopTimeout":3}"#,
        )
        .unwrap();
        assert!(made.warnings.is_empty());
        let spec = made.spec;
        assert_eq!(spec.name, "web");
        assert_eq!(spec.command, Some(vec!["ls".to_owned()]));
        assert_eq!(spec.entrypoint, None);
        assert_eq!(spec.stop_grace_period, Some(Duration::from_secs(3)));
        assert_eq!(spec.healthcheck.unwrap().interval, Some(Duration::from_secs(2)));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (json, message) in [
            ("{}", "Image is empty"),
            (r#"{"Image":"x","Env":["=x"]}"#, "invalid environment variable: =x"),
            (r#"{"Image":"x","WorkingDir":"a"}"#, "'a' is invalid"),
            (r#"{"Image":"x","Healthcheck":{"Interval":5}}"#, "Interval in Healthcheck cannot be less than 1ms"),
            (r#"{"Image":"x","Healthcheck":{"Test":["x"]}}"#, "unknown type of healthcheck"),
            (r#"{"Image":"x","HostConfig":{"Memory":"x"}}"#, "HostConfig.Memory: invalid type"),
            (r#"{"Image":"x","HostConfig":{"Isolation":"hyperv"}}"#, "Isolation"),
            (r#"{"Image":"x","HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}}"#, "AutoRemove"),
        ] {
            let err = translate(json).unwrap_err();
            assert_eq!(err.status, 400, "{json}");
            assert!(err.message.contains(message), "{json}: {}", err.message);
        }
        let err = container(Query { name: Some("a b"), platform: None }, Config::default(), ApiVersion::NEWEST);
        assert!(err.unwrap_err().message.starts_with("Invalid container name (a b)"));
    }
}
