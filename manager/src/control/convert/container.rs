//! The container of a service: what runs, and how it looks from inside.

use hoist_compose::model::{self, Project, Service};
use hoist_proto::spec::{ContainerSpec, Healthcheck, Hook, Logging, PullPolicy, RestartPolicy, Ulimit};

use super::{Inputs, Problems, mounts, network, resources, security};

pub(super) fn container(
    project: &Project,
    service: &Service,
    inputs: &Inputs,
    problems: &mut Problems,
) -> ContainerSpec {
    let namespaces = security::namespaces(project, service, problems);
    ContainerSpec {
        noted: None,
        // The orchestrator gives each slot its name.
        name: String::new(),
        image: project.image_of(service),
        platform: service.platform.clone(),
        pull: pull(service),
        entrypoint: service.entrypoint.clone(),
        command: service.command.clone(),
        env: environment(&service.environment),
        working_dir: service.working_dir.clone(),
        user: service.user.clone(),
        group_add: service.group_add.clone(),
        hostname: service.hostname.clone(),
        domainname: service.domainname.clone(),
        labels: pairs(&service.labels),
        annotations: pairs(&service.annotations),
        tty: service.tty,
        open_stdin: service.stdin_open,
        stdin_once: false,
        stop_signal: service.stop_signal.clone(),
        stop_grace_period: service.stop_grace_period.map(model::Duration::as_std),
        healthcheck: service.healthcheck.as_ref().map(healthcheck),
        init: service.init,
        restart: restart(service, problems),
        auto_remove: false,
        read_only: service.read_only,
        mounts: mounts::mounts(project, service, problems),
        volumes_from: mounts::volumes_from(project, service),
        files: mounts::files(project, service, problems),
        network_mode: network::mode(project, service, problems),
        networks: network::attachments(project, service, problems),
        ports: network::ports(service, problems),
        expose: service.expose.clone(),
        publish_all: false,
        dns: service.dns.clone(),
        dns_search: service.dns_search.clone(),
        dns_options: service.dns_opt.clone(),
        extra_hosts: service.extra_hosts.pairs().map(|(host, ip)| (host.to_owned(), ip.to_owned())).collect(),
        links: network::links(project, service),
        resources: resources::resources(service),
        security: security::security(service, inputs, problems),
        namespaces,
        sysctls: pairs(&service.sysctls),
        ulimits: service
            .ulimits
            .iter()
            .map(|(name, limit)| Ulimit { name: name.clone(), soft: limit.soft, hard: limit.hard })
            .collect(),
        shm_size: service.shm_size.and_then(|size| u64::try_from(size.0).ok()),
        storage_options: pairs(&service.storage_opt),
        oom_kill_disable: service.oom_kill_disable,
        oom_score_adj: service.oom_score_adj.and_then(|adj| i32::try_from(adj).ok()),
        logging: service.logging.as_ref().map_or_else(Logging::default, |logging| Logging {
            driver: logging.driver.clone(),
            options: pairs(&logging.options),
        }),
        runtime: service.runtime.clone(),
        post_start: service.post_start.iter().map(hook).collect(),
        pre_stop: service.pre_stop.iter().map(hook).collect(),
    }
}

pub(super) fn pairs(map: &model::Map<String>) -> std::collections::BTreeMap<String, String> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// A variable without a value takes the image's away.
fn environment(variables: &model::Map<Option<String>>) -> Vec<String> {
    variables
        .iter()
        .map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => key.clone(),
        })
        .collect()
}

fn pull(service: &Service) -> PullPolicy {
    match service.pull_policy() {
        None | Some(model::PullPolicy::Missing | model::PullPolicy::Build) => PullPolicy::Missing,
        Some(model::PullPolicy::Never) => PullPolicy::Never,
        // Asking the registry every time is never older than asking it now and then.
        Some(model::PullPolicy::Always | model::PullPolicy::Refresh(_)) => PullPolicy::Always,
    }
}

fn healthcheck(check: &model::Healthcheck) -> Healthcheck {
    if check.disable {
        return Healthcheck { test: vec!["NONE".into()], ..Healthcheck::default() };
    }
    Healthcheck {
        test: check.test.clone().unwrap_or_default(),
        interval: check.interval.map(model::Duration::as_std),
        timeout: check.timeout.map(model::Duration::as_std),
        start_period: check.start_period.map(model::Duration::as_std),
        start_interval: check.start_interval.map(model::Duration::as_std),
        retries: check.retries.map(|retries| u32::try_from(retries).unwrap_or(u32::MAX)),
    }
}

/// `restart:` is the engine's own affair; `deploy.restart_policy` is the orchestrator's.
fn restart(service: &Service, problems: &mut Problems) -> RestartPolicy {
    let Some(text) = service.restart.as_deref() else { return RestartPolicy::No };
    let (name, count) = text.split_once(':').map_or((text, None), |(name, count)| (name, Some(count)));
    match (name, count) {
        ("no" | "", None) => RestartPolicy::No,
        ("always", None) => RestartPolicy::Always,
        ("unless-stopped", None) => RestartPolicy::UnlessStopped,
        ("on-failure", None) => RestartPolicy::OnFailure { max_retries: None },
        ("on-failure", Some(count)) => match count.parse() {
            Ok(0) => RestartPolicy::OnFailure { max_retries: None },
            Ok(count) => RestartPolicy::OnFailure { max_retries: Some(count) },
            Err(_) => {
                problems.add(&service.name, format!("restart {text:?}: {count:?} is not a number"));
                RestartPolicy::No
            }
        },
        _ => {
            problems.add(
                &service.name,
                format!("restart {text:?} is none of no, always, unless-stopped, on-failure and on-failure:N"),
            );
            RestartPolicy::No
        }
    }
}

fn hook(hook: &model::Hook) -> Hook {
    Hook {
        command: hook.command.clone().unwrap_or_default(),
        user: hook.user.clone(),
        privileged: hook.privileged,
        working_dir: hook.working_dir.clone(),
        env: environment(&hook.environment),
    }
}
