//! Flags that create and update have in common: each that is given changes its part.

use super::{parse, words};
use crate::{
    api::dto::{
        config::HealthConfig,
        service::{self as dto, ContainerSpec, ServiceSpec, TaskSpec},
    },
    cli::{
        args::service::SharedFlags,
        spec::{SpecError, key_values, resources::bytes},
    },
};

pub fn apply(spec: &mut ServiceSpec, flags: &SharedFlags) -> Result<(), SpecError> {
    refuse_windows(flags)?;
    container(spec.task_template.container_spec.get_or_insert_default(), flags)?;
    resources(&mut spec.task_template, flags)?;
    restart(&mut spec.task_template, flags)?;
    if let Some(most) = flags.replicas_max_per_node {
        spec.task_template.placement.get_or_insert_default().max_replicas = most;
    }
    if flags.log_driver.is_some() || !flags.log_opts.is_empty() {
        let driver = spec.task_template.log_driver.get_or_insert_default();
        if let Some(name) = &flags.log_driver {
            driver.name.clone_from(name);
        }
        driver.options = key_values("log-opt", &flags.log_opts, '=')?;
    }
    updates(spec, flags)?;
    if let Some(mode) = &flags.endpoint_mode {
        if !matches!(mode.as_str(), "vip" | "dnsrr") {
            return Err(SpecError::value("endpoint-mode", mode, "expected vip or dnsrr"));
        }
        spec.endpoint_spec.get_or_insert_default().mode.clone_from(mode);
    }
    counts(&mut spec.mode, flags)
}

fn refuse_windows(flags: &SharedFlags) -> Result<(), SpecError> {
    if flags.credential_spec.is_some() {
        return Err(SpecError::unsupported("credential-spec", "it has a meaning on Windows only"));
    }
    match flags.isolation.as_deref() {
        None | Some("" | "default") => Ok(()),
        Some(_) => Err(SpecError::unsupported("isolation", "it has a meaning on Windows only")),
    }
}

fn set<T: Clone>(place: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        place.clone_from(value);
    }
}

fn container(spec: &mut ContainerSpec, flags: &SharedFlags) -> Result<(), SpecError> {
    set(&mut spec.dir, flags.workdir.as_ref());
    set(&mut spec.user, flags.user.as_ref());
    set(&mut spec.hostname, flags.hostname.as_ref());
    set(&mut spec.stop_signal, flags.stop_signal.as_ref());
    set(&mut spec.tty, flags.tty.as_ref());
    set(&mut spec.read_only, flags.read_only.as_ref());
    set(&mut spec.oom_score_adj, flags.oom_score_adj.as_ref());
    if flags.init.is_some() {
        spec.init = flags.init;
    }
    if let Some(text) = &flags.entrypoint {
        spec.command = words::split(text).map_err(|why| SpecError::value("entrypoint", text, why))?;
    }
    if let Some(text) = &flags.stop_grace_period {
        spec.stop_grace_period = Some(parse::nanos("stop-grace-period", text)?);
    }
    capabilities(spec, flags);
    health(spec, flags)
}

/// What is added is dropped no more, and the other way.
fn capabilities(spec: &mut ContainerSpec, flags: &SharedFlags) {
    let whole = |name: &String| {
        let upper = name.to_uppercase();
        if upper == "ALL" || upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
    };
    for name in flags.cap_drop.iter().map(whole) {
        spec.capability_add.retain(|added| *added != name);
        if !spec.capability_drop.contains(&name) {
            spec.capability_drop.push(name);
        }
    }
    for name in flags.cap_add.iter().map(whole) {
        spec.capability_drop.retain(|dropped| *dropped != name);
        if !spec.capability_add.contains(&name) {
            spec.capability_add.push(name);
        }
    }
}

fn health(spec: &mut ContainerSpec, flags: &SharedFlags) -> Result<(), SpecError> {
    let times = [
        ("health-interval", &flags.health_interval),
        ("health-timeout", &flags.health_timeout),
        ("health-start-period", &flags.health_start_period),
        ("health-start-interval", &flags.health_start_interval),
    ];
    let given = flags.health_cmd.is_some() || flags.health_retries.is_some() || times.iter().any(|(_, t)| t.is_some());
    if flags.no_healthcheck {
        if given {
            return Err(SpecError::conflict("no-healthcheck", "cannot be combined with other --health flags"));
        }
        spec.healthcheck = Some(HealthConfig { test: vec!["NONE".to_owned()], ..HealthConfig::default() });
        return Ok(());
    }
    if !given {
        return Ok(());
    }
    let check = spec.healthcheck.get_or_insert_default();
    if let Some(command) = &flags.health_cmd {
        check.test = if command.is_empty() { Vec::new() } else { vec!["CMD-SHELL".to_owned(), command.clone()] };
    } else if check.test.first().is_some_and(|word| word == "NONE") {
        check.test.clear();
    }
    let places = [&mut check.interval, &mut check.timeout, &mut check.start_period, &mut check.start_interval];
    for ((flag, text), place) in times.into_iter().zip(places) {
        if let Some(text) = text {
            *place = parse::nanos(flag, text)?;
        }
    }
    set(&mut check.retries, flags.health_retries.as_ref());
    Ok(())
}

fn resources(task: &mut TaskSpec, flags: &SharedFlags) -> Result<(), SpecError> {
    let resources = task.resources.get_or_insert_default();
    let limits = resources.limits.get_or_insert_default();
    if let Some(text) = &flags.limit_cpu {
        limits.nano_cpus = parse::cpus("limit-cpu", text)?;
    }
    if let Some(text) = &flags.limit_memory {
        limits.memory_bytes = bytes("limit-memory", text)?;
    }
    set(&mut limits.pids, flags.limit_pids.as_ref());
    let reservations = resources.reservations.get_or_insert_default();
    if let Some(text) = &flags.reserve_cpu {
        reservations.nano_cpus = parse::cpus("reserve-cpu", text)?;
    }
    if let Some(text) = &flags.reserve_memory {
        reservations.memory_bytes = bytes("reserve-memory", text)?;
    }
    match flags.memory_swap.as_deref() {
        None => {}
        Some("-1") => resources.swap_bytes = Some(-1),
        Some(text) => resources.swap_bytes = Some(bytes("memory-swap", text)?),
    }
    match flags.memory_swappiness {
        None => {}
        Some(-1) => resources.memory_swappiness = None,
        given => resources.memory_swappiness = given,
    }
    Ok(())
}

fn restart(task: &mut TaskSpec, flags: &SharedFlags) -> Result<(), SpecError> {
    let policy = task.restart_policy.get_or_insert_default();
    set(&mut policy.condition, flags.restart_condition.as_ref());
    if let Some(text) = &flags.restart_delay {
        policy.delay = Some(parse::nanos("restart-delay", text)?);
    }
    if let Some(text) = &flags.restart_window {
        policy.window = Some(parse::nanos("restart-window", text)?);
    }
    if flags.restart_max_attempts.is_some() {
        policy.max_attempts = flags.restart_max_attempts;
    }
    Ok(())
}

/// The flags of one way of replacing tasks.
struct Rolling<'a> {
    parallelism: Option<&'a u64>,
    delay: (&'static str, Option<&'a String>),
    monitor: (&'static str, Option<&'a String>),
    failure_action: Option<&'a String>,
    max_failure_ratio: Option<&'a f32>,
    order: Option<&'a String>,
}

fn updates(spec: &mut ServiceSpec, flags: &SharedFlags) -> Result<(), SpecError> {
    let update = Rolling {
        parallelism: flags.update_parallelism.as_ref(),
        delay: ("update-delay", flags.update_delay.as_ref()),
        monitor: ("update-monitor", flags.update_monitor.as_ref()),
        failure_action: flags.update_failure_action.as_ref(),
        max_failure_ratio: flags.update_max_failure_ratio.as_ref(),
        order: flags.update_order.as_ref(),
    };
    let rollback = Rolling {
        parallelism: flags.rollback_parallelism.as_ref(),
        delay: ("rollback-delay", flags.rollback_delay.as_ref()),
        monitor: ("rollback-monitor", flags.rollback_monitor.as_ref()),
        failure_action: flags.rollback_failure_action.as_ref(),
        max_failure_ratio: flags.rollback_max_failure_ratio.as_ref(),
        order: flags.rollback_order.as_ref(),
    };
    rolling(&mut spec.update_config, &update)?;
    rolling(&mut spec.rollback_config, &rollback)
}

fn rolling(config: &mut Option<dto::UpdateConfig>, flags: &Rolling<'_>) -> Result<(), SpecError> {
    let given = flags.parallelism.is_some()
        || flags.delay.1.is_some()
        || flags.monitor.1.is_some()
        || flags.failure_action.is_some()
        || flags.max_failure_ratio.is_some()
        || flags.order.is_some();
    if !given {
        return Ok(());
    }
    // Without a word on it, one at a time.
    let config = config.get_or_insert_with(|| dto::UpdateConfig { parallelism: 1, ..dto::UpdateConfig::default() });
    set(&mut config.parallelism, flags.parallelism);
    if let (flag, Some(text)) = flags.delay {
        config.delay = parse::nanos(flag, text)?;
    }
    if let (flag, Some(text)) = flags.monitor {
        config.monitor = parse::nanos(flag, text)?;
    }
    set(&mut config.failure_action, flags.failure_action);
    set(&mut config.max_failure_ratio, flags.max_failure_ratio);
    set(&mut config.order, flags.order);
    Ok(())
}

fn counts(mode: &mut dto::Mode, flags: &SharedFlags) -> Result<(), SpecError> {
    if let Some(replicas) = flags.replicas {
        match (&mut mode.replicated, &mut mode.replicated_job) {
            (Some(replicated), _) => replicated.replicas = Some(replicas),
            (_, Some(job)) => job.total_completions = Some(replicas),
            _ => {
                return Err(SpecError::conflict(
                    "replicas",
                    "only replicated and replicated-job have a number of tasks",
                ));
            }
        }
    }
    if flags.max_concurrent.is_some() {
        let job = mode.replicated_job.as_mut();
        let job = job.ok_or_else(|| SpecError::conflict("max-concurrent", "only replicated-job has it"))?;
        job.max_concurrent = flags.max_concurrent;
    }
    if let Some(job) = &mut mode.replicated_job
        && job.max_concurrent.is_none()
    {
        job.max_concurrent = job.total_completions;
    }
    Ok(())
}
