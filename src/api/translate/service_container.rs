//! `ContainerSpec` of a task: the part of a service's definition that a container is made of.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoist_proto::spec::{ContainerSpec, FileContent, FileMount, RestartPolicy, SeccompChoice, Security};

use super::{
    create::{healthcheck, text},
    mounts::mount_object,
    resources::ulimits,
    service::span,
};
use crate::api::{dto::service as dto, error::ApiError};

/// Puts all that the API says of a service's container into a description.
pub(super) fn apply(spec: &mut ContainerSpec, asked: dto::ContainerSpec) -> Result<(), ApiError> {
    if !matches!(asked.isolation.as_str(), "" | "default") {
        return Err(ApiError::bad_request(format!("isolation {} is supported on Windows only", asked.isolation)));
    }
    if let Some(bad) = asked.env.iter().find(|entry| entry.is_empty() || entry.starts_with('=')) {
        return Err(ApiError::bad_request(format!("invalid environment variable: {bad}")));
    }
    if !asked.dir.is_empty() && !asked.dir.starts_with('/') {
        return Err(ApiError::bad_request(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            asked.dir
        )));
    }
    spec.image = asked.image;
    spec.labels = asked.labels;
    spec.entrypoint = (!asked.command.is_empty()).then_some(asked.command);
    spec.command = (!asked.args.is_empty()).then_some(asked.args);
    spec.hostname = text(asked.hostname);
    spec.env = asked.env;
    spec.working_dir = text(asked.dir);
    spec.user = text(asked.user);
    spec.group_add = asked.groups;
    privileges(&mut spec.security, asked.privileges.unwrap_or_default())?;
    spec.security.cap_add = asked.capability_add;
    spec.security.cap_drop = asked.capability_drop;
    spec.init = asked.init;
    spec.stop_signal = text(asked.stop_signal);
    spec.tty = asked.tty;
    spec.open_stdin = asked.open_stdin;
    spec.read_only = asked.read_only;
    spec.mounts = asked.mounts.iter().map(mount_object).collect::<Result<_, _>>()?;
    let mut targets: Vec<&String> = spec.mounts.iter().map(|mount| &mount.target).collect();
    targets.sort();
    if let Some(pair) = targets.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ApiError::bad_request(format!("ContainerSpec: duplicate mount point: {}", pair[0])));
    }
    spec.stop_grace_period = span("StopGracePeriod", asked.stop_grace_period)?;
    spec.healthcheck = asked.healthcheck.map(healthcheck).transpose()?;
    spec.extra_hosts = hosts(&asked.hosts)?;
    let dns = asked.dns_config.unwrap_or_default();
    (spec.dns, spec.dns_search, spec.dns_options) = (dns.nameservers, dns.search, dns.options);
    spec.sysctls = asked.sysctls;
    spec.ulimits = ulimits(asked.ulimits)?;
    spec.oom_score_adj = match i32::try_from(asked.oom_score_adj) {
        Ok(0) => None,
        Ok(adj @ -1000..=1000) => Some(adj),
        _ => {
            return Err(ApiError::bad_request(format!(
                "OomScoreAdj: {} is not between -1000 and 1000",
                asked.oom_score_adj
            )));
        }
    };
    let secrets =
        asked.secrets.into_iter().map(|secret| file(secret.secret_name, secret.secret_id, secret.file, true, "secret"));
    let configs = asked.configs.into_iter().map(|config| {
        if config.runtime.is_some() {
            return Err(ApiError::not_implemented(format!(
                "config {}: Runtime is for credential specs, which Windows has",
                config.config_name
            )));
        }
        file(config.config_name, config.config_id, config.file, false, "config")
    });
    spec.files = secrets.chain(configs).collect::<Result<_, _>>()?;
    // The orchestrator restarts tasks, the engine does not.
    spec.restart = RestartPolicy::No;
    Ok(())
}

/// `address name…` lines.
fn hosts(lines: &[String]) -> Result<Vec<(String, String)>, ApiError> {
    let mut all = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let address = words.next().unwrap_or_default();
        let names: Vec<&str> = words.collect();
        if names.is_empty() {
            return Err(ApiError::bad_request(format!("invalid host {line:?}: expected an address and a name")));
        }
        all.extend(names.into_iter().map(|name| (name.to_owned(), address.to_owned())));
    }
    Ok(all)
}

fn file(
    name: String,
    id: String,
    target: Option<dto::FileTarget>,
    secret: bool,
    kind: &str,
) -> Result<FileMount, ApiError> {
    let target = target.ok_or_else(|| ApiError::bad_request(format!("{kind} {name}: File is missing")))?;
    let number = |what: &str, text: &str| {
        if text.is_empty() { Ok(0) } else { text.parse() }
            .map_err(|_| ApiError::bad_request(format!("{kind} {name}: {what} {text:?} is not a number")))
    };
    let (uid, gid) = (number("UID", &target.uid)?, number("GID", &target.gid)?);
    if id.is_empty() {
        return Err(ApiError::bad_request(format!("{kind} {name}: the id is missing")));
    }
    Ok(FileMount {
        source: name,
        target: target.name,
        uid,
        gid,
        mode: Some(target.mode),
        secret,
        content: FileContent::Stored(id),
    })
}

fn privileges(security: &mut Security, asked: dto::Privileges) -> Result<(), ApiError> {
    if asked.credential_spec.is_some() {
        return Err(ApiError::not_implemented("Privileges.CredentialSpec is supported on Windows only"));
    }
    security.no_new_privileges = asked.no_new_privileges;
    security.selinux.clear();
    if let Some(context) = asked.selinux_context {
        if context.disable {
            security.selinux.push("disable".into());
        }
        for (key, value) in
            [("user", context.user), ("role", context.role), ("type", context.kind), ("level", context.level)]
        {
            if !value.is_empty() {
                security.selinux.push(format!("{key}:{value}"));
            }
        }
    }
    security.seccomp =
        match asked.seccomp {
            None => SeccompChoice::Default,
            Some(seccomp) => match seccomp.mode.as_str() {
                "" | "default" => SeccompChoice::Default,
                "unconfined" => SeccompChoice::Unconfined,
                "custom" => {
                    let bytes = STANDARD.decode(&seccomp.profile).ok();
                    let profile = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| {
                        serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.is_object())
                    });
                    SeccompChoice::Profile(profile.ok_or_else(|| {
                        ApiError::bad_request("Seccomp.Profile is not the base64 of a profile's JSON")
                    })?)
                }
                other => return Err(ApiError::bad_request(format!("unknown seccomp mode {other:?}"))),
            },
        };
    match asked.app_armor.map(|app_armor| app_armor.mode).as_deref() {
        // A profile by name is what only other ways of asking can say.
        None | Some("" | "default") => {
            if security.apparmor.as_deref() == Some("unconfined") {
                security.apparmor = None;
            }
        }
        Some("disabled") => security.apparmor = Some("unconfined".into()),
        Some(other) => return Err(ApiError::bad_request(format!("unknown AppArmor mode {other:?}"))),
    }
    Ok(())
}
