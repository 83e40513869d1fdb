//! `service inspect --pretty`: a service for people.

use std::time::Duration;

use hoist_proto::unit;
use jiff::Timestamp;

use super::ls;
use crate::{
    api::dto::service::{self as dto, FileTarget},
    cli::format::time,
};

/// All that matters, a line each.
pub fn pretty(service: &dto::Service) -> String {
    let mut out = Text::default();
    let spec = &service.spec;
    out.line(format!("ID:\t\t{}", service.id));
    out.line(format!("Name:\t\t{}", spec.name));
    if !spec.labels.is_empty() {
        out.line("Labels:");
        spec.labels.iter().for_each(|(key, value)| out.line(format!(" {key}={value}")));
    }
    let mode = ls::mode(&spec.mode);
    out.line(format!("Service Mode:\t{}", mode[..1].to_uppercase() + &mode[1..]));
    if let Some(replicated) = &spec.mode.replicated {
        out.line(format!(" Replicas:\t{}", replicated.replicas.unwrap_or(1)));
    }
    if let Some(job) = &spec.mode.replicated_job {
        out.line(format!(" Max Concurrent:\t{}", job.max_concurrent.unwrap_or(1)));
        out.line(format!(" Total Completions:\t{}", job.total_completions.unwrap_or(1)));
    }
    if let Some(update) = &service.update_status {
        out.line("UpdateStatus:");
        out.line(format!(" State:\t\t{}", update.state));
        out.moment(" Started:\t", update.started_at.as_deref());
        out.moment(" Completed:\t", update.completed_at.as_deref());
        out.line(format!(" Message:\t{}", update.message));
    }
    placement(&mut out, &spec.task_template);
    rolling(&mut out, "UpdateConfig", "Update order:     ", spec.update_config.as_ref());
    rolling(&mut out, "RollbackConfig", "Rollback order:   ", spec.rollback_config.as_ref());
    if let Some(container) = &spec.task_template.container_spec {
        container_spec(&mut out, container);
    }
    resources(&mut out, spec.task_template.resources.as_ref());
    if !spec.task_template.networks.is_empty() {
        let names: Vec<&str> = spec.task_template.networks.iter().map(|network| network.target.as_str()).collect();
        out.line(format!("Networks: {} ", names.join(" ")));
    }
    let endpoint = spec.endpoint_spec.clone().unwrap_or_default();
    out.line(format!("Endpoint Mode:\t{}", endpoint.mode));
    if !service.endpoint.ports.is_empty() {
        out.line("Ports:");
    }
    for port in &service.endpoint.ports {
        out.line(format!(" PublishedPort = {}", port.published_port));
        out.line(format!("  Protocol = {}", port.protocol));
        out.line(format!("  TargetPort = {}", port.target_port));
        out.line(format!("  PublishMode = {}", port.publish_mode));
    }
    out.0.push('\n');
    out.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }

    fn moment(&mut self, head: &str, at: Option<&str>) {
        if let Some(at) = at.and_then(|at| at.parse::<Timestamp>().ok()) {
            self.line(format!("{head}{}", time::ago(at.as_second())));
        }
    }

    fn words(&mut self, head: &str, words: &[String]) {
        if !words.is_empty() {
            self.line(format!(" {head}:\t\t{} ", words.join(" ")));
        }
    }
}

fn placement(out: &mut Text, task: &dto::TaskSpec) {
    let placement = task.placement.clone().unwrap_or_default();
    out.line("Placement:");
    if !placement.constraints.is_empty() {
        out.line(format!(" Constraints:\t[{}]", placement.constraints.join(" ")));
    }
    let spread: Vec<String> = placement
        .preferences
        .iter()
        .filter_map(|preference| preference.spread.as_ref())
        .map(|spread| format!("spread={}", spread.spread_descriptor))
        .collect();
    if !spread.is_empty() {
        out.line(format!(" Preferences:\t[{}]", spread.join(" ")));
    }
    if placement.max_replicas > 0 {
        out.line(format!(" Max Replicas Per Node:\t{}", placement.max_replicas));
    }
}

fn rolling(out: &mut Text, title: &str, order: &str, config: Option<&dto::UpdateConfig>) {
    let Some(config) = config else { return };
    let span = |nanos: i64| unit::format_duration(Duration::from_nanos(nanos.unsigned_abs()));
    out.line(format!("{title}:"));
    out.line(format!(" Parallelism:\t{}", config.parallelism));
    if config.delay > 0 {
        out.line(format!(" Delay:\t\t{}", span(config.delay)));
    }
    out.line(format!(" On failure:\t{}", config.failure_action));
    if config.monitor > 0 {
        out.line(format!(" Monitoring Period: {}", span(config.monitor)));
    }
    out.line(format!(" Max failure ratio: {}", config.max_failure_ratio));
    out.line(format!(" {order} {}", config.order));
}

fn container_spec(out: &mut Text, spec: &dto::ContainerSpec) {
    out.line("ContainerSpec:");
    out.line(format!(" Image:\t\t{}", spec.image));
    out.words("Command", &spec.command);
    out.words("Args", &spec.args);
    out.words("Env", &spec.env);
    if !spec.dir.is_empty() {
        out.line(format!(" Dir:\t\t{}", spec.dir));
    }
    if !spec.user.is_empty() {
        out.line(format!(" User:\t\t{}", spec.user));
    }
    if let Some(init) = spec.init {
        out.line(format!(" Init:\t\t{init}"));
    }
    out.words("CapAdd", &spec.capability_add);
    out.words("CapDrop", &spec.capability_drop);
    if !spec.mounts.is_empty() {
        out.line(" Mounts:");
    }
    for mount in &spec.mounts {
        out.line(format!("  Target:\t{}", mount.target));
        out.line(format!("   Source:\t{}", mount.source));
        out.line(format!("   ReadOnly:\t{}", mount.read_only));
        out.line(format!("   Type:\t\t{}", mount.kind));
    }
    let mut files = |title: &str, files: Vec<(&Option<FileTarget>, &String)>| {
        if !files.is_empty() {
            out.line(format!("{title}:"));
        }
        for (file, source) in files {
            out.line(format!(" Target:\t{}", file.as_ref().map_or("", |file| &file.name)));
            out.line(format!("  Source:\t{source}"));
        }
    };
    files("Configs", spec.configs.iter().map(|config| (&config.file, &config.config_name)).collect());
    files("Secrets", spec.secrets.iter().map(|secret| (&secret.file, &secret.secret_name)).collect());
}

fn resources(out: &mut Text, resources: Option<&dto::Resources>) {
    out.line("Resources:");
    let resources = resources.cloned().unwrap_or_default();
    let cpus = |nanos: i64| nanos as f64 / 1e9;
    let memory = |bytes: i64| unit::format_bytes_binary(bytes.unsigned_abs());
    if let Some(reserved) = resources.reservations {
        out.line(" Reservations:");
        if reserved.nano_cpus > 0 {
            out.line(format!("  CPU:\t\t{}", cpus(reserved.nano_cpus)));
        }
        if reserved.memory_bytes > 0 {
            out.line(format!("  Memory:\t{}", memory(reserved.memory_bytes)));
        }
        for generic in reserved.generic_resources.iter().filter_map(|one| one.discrete_resource_spec.as_ref()) {
            out.line(format!("  {}:\t{}", generic.kind, generic.value));
        }
    }
    if let Some(limits) = resources.limits {
        out.line(" Limits:");
        if limits.nano_cpus > 0 {
            out.line(format!("  CPU:\t\t{}", cpus(limits.nano_cpus)));
        }
        if limits.memory_bytes > 0 {
            out.line(format!("  Memory:\t{}", memory(limits.memory_bytes)));
        }
        if limits.pids > 0 {
            out.line(format!("  Pids:\t\t{}", limits.pids));
        }
    }
}
