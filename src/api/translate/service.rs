//! `ServiceSpec` of the API becomes the one definition of a service.

use std::{collections::BTreeMap, time::Duration};

use hoist_proto::spec::{
    EndpointMode, FailureAction, Logging, NetworkAttachment, NetworkMode, Placement, PlacementStrategy, PortSpec,
    PublishMode, Resources, RestartCondition, ServiceMode, ServiceRestart, ServiceSpec, UpdateConfig, UpdateOrder,
};

use super::{
    create::{parsed, text},
    service_container,
};
use crate::api::{dto::service as dto, error::ApiError};

/// What a definition is translated with.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// What the service is now: what the API cannot say stays as it is there.
    pub base: Option<&'a ServiceSpec>,
    /// Ids of `host`, `none` and `bridge` on this machine, with their names.
    pub predefined: &'a BTreeMap<String, String>,
}

/// Turns the body of a create or update request into a definition.
///
/// # Errors
/// 400 for values that make no sense, 501 for what is not supported, each by name.
pub fn service(body: dto::ServiceSpec, around: Around<'_>) -> Result<ServiceSpec, ApiError> {
    let template = body.task_template;
    refuse_runtimes(&template)?;
    let mode = mode(body.mode)?;
    let job = mode.is_job();
    let mut spec = around.base.cloned().unwrap_or_default();
    spec.name = body.name;
    spec.labels = body.labels;
    spec.mode = mode;
    let container = &mut spec.task.container;
    service_container::apply(container, template.container_spec.unwrap_or_default())?;
    let listed = if template.networks.is_empty() { body.networks } else { template.networks };
    networks(listed, around.predefined, &mut container.network_mode, &mut container.networks)?;
    resources(&mut container.resources, template.resources.unwrap_or_default())?;
    container.logging = template
        .log_driver
        .map_or_else(Logging::default, |driver| Logging { driver: text(driver.name), options: driver.options });
    let endpoint = body.endpoint_spec.unwrap_or_default();
    spec.endpoint_mode = match endpoint.mode.as_str() {
        "" | "vip" => EndpointMode::Vip,
        "dnsrr" => EndpointMode::Dnsrr,
        other => return Err(ApiError::bad_request(format!("unknown endpoint mode {other:?}: expected vip or dnsrr"))),
    };
    container.ports = endpoint.ports.into_iter().map(port).collect::<Result<_, _>>()?;
    spec.task.restart = Some(restart(template.restart_policy.unwrap_or_default(), job)?);
    let strategy = PlacementStrategy::of_labels(&spec.labels).map_err(ApiError::bad_request)?;
    spec.task.placement = Placement { strategy, ..placement(template.placement.unwrap_or_default()) };
    spec.task.force_update = template.force_update;
    let config = |given: Option<dto::UpdateConfig>, what: &str| match given {
        Some(given) => update(given, what).map(Some),
        None if job => Ok(None),
        None => Ok(Some(UpdateConfig::default())),
    };
    spec.update = config(body.update_config, "UpdateConfig")?;
    spec.rollback = config(body.rollback_config, "RollbackConfig")?;
    Ok(spec)
}

fn refuse_runtimes(template: &dto::TaskSpec) -> Result<(), ApiError> {
    let runtime = match template.runtime.as_str() {
        "" | "container" => None,
        other => Some(other),
    };
    let named = template
        .plugin_spec
        .as_ref()
        .map(|_| "plugin")
        .or(template.network_attachment_spec.as_ref().map(|_| "attachment"))
        .or(runtime);
    match named {
        Some(named) => {
            Err(ApiError::not_implemented(format!("services of runtime {named} are not supported: only container is")))
        }
        None => Ok(()),
    }
}

fn mode(mode: dto::Mode) -> Result<ServiceMode, ApiError> {
    let count = |field: &str, value: Option<u64>| {
        u32::try_from(value.unwrap_or(1)).map_err(|_| ApiError::bad_request(format!("{field} is too large")))
    };
    let all =
        [mode.replicated.is_some(), mode.global.is_some(), mode.replicated_job.is_some(), mode.global_job.is_some()];
    if all.into_iter().filter(|given| *given).count() > 1 {
        return Err(ApiError::bad_request("must specify only one service mode"));
    }
    if mode.global.is_some() {
        return Ok(ServiceMode::Global);
    }
    if mode.global_job.is_some() {
        return Ok(ServiceMode::GlobalJob);
    }
    if let Some(job) = mode.replicated_job {
        let max_concurrent = count("MaxConcurrent", job.max_concurrent)?;
        let total_completions = match job.total_completions {
            Some(total) => count("TotalCompletions", Some(total))?,
            None => max_concurrent,
        };
        return Ok(ServiceMode::ReplicatedJob { max_concurrent, total_completions });
    }
    Ok(ServiceMode::Replicated { replicas: count("Replicas", mode.replicated.unwrap_or_default().replicas)? })
}

fn networks(
    listed: Vec<dto::NetworkTarget>,
    predefined: &BTreeMap<String, String>,
    mode: &mut NetworkMode,
    networks: &mut Vec<NetworkAttachment>,
) -> Result<(), ApiError> {
    let before = std::mem::take(networks);
    *mode = NetworkMode::Networks;
    let several = listed.len() > 1;
    for network in listed {
        let name = predefined.get(&network.target).unwrap_or(&network.target).clone();
        match name.as_str() {
            "" => return Err(ApiError::bad_request("Networks: Target is empty")),
            "host" | "none" if several => {
                return Err(ApiError::bad_request(format!("network {name} cannot be combined with other networks")));
            }
            "host" => *mode = NetworkMode::Host,
            "none" => *mode = NetworkMode::None,
            "bridge" => {}
            _ => networks.push(NetworkAttachment {
                aliases: network.aliases,
                driver_options: network.driver_opts,
                // Addresses and priorities, which only a compose file can say.
                ..before.iter().find(|known| known.network == name).cloned().unwrap_or_default()
            }),
        }
        if let Some(last) = networks.last_mut()
            && last.network.is_empty()
        {
            last.network = name;
        }
    }
    Ok(())
}

fn resources(resources: &mut Resources, asked: dto::Resources) -> Result<(), ApiError> {
    let amount = |field: &str, value: i64| match value {
        0 => Ok(None),
        1.. => Ok(Some(value.unsigned_abs())),
        _ => Err(ApiError::bad_request(format!("{field} cannot be negative: {value}"))),
    };
    let limits = asked.limits.unwrap_or_default();
    resources.nano_cpus = amount("Limits.NanoCPUs", limits.nano_cpus)?;
    resources.memory = amount("Limits.MemoryBytes", limits.memory_bytes)?;
    resources.pids = (limits.pids != 0).then_some(limits.pids);
    if resources.memory.is_some_and(|memory| memory < 4 << 20) {
        return Err(ApiError::bad_request("invalid memory value: must be at least 4MiB"));
    }
    if resources.nano_cpus.is_some_and(|cpus| cpus < 1_000_000) {
        return Err(ApiError::bad_request("invalid cpu value: must be at least 0.001"));
    }
    resources.memory_swap = match (asked.swap_bytes, resources.memory) {
        (None, _) => None,
        (Some(-1), _) => Some(-1),
        (Some(swap), Some(memory)) if swap >= 0 => Some(i64::try_from(memory).unwrap_or(i64::MAX).saturating_add(swap)),
        (Some(swap), Some(_)) => {
            return Err(ApiError::bad_request(format!("SwapBytes: {swap} is neither -1 nor a size")));
        }
        (Some(_), None) => return Err(ApiError::bad_request("SwapBytes takes a memory limit beside it")),
    };
    resources.memory_swappiness = match asked.memory_swappiness {
        None | Some(-1) => None,
        Some(value @ 0..=100) => Some(value.unsigned_abs()),
        Some(value) => {
            return Err(ApiError::bad_request(format!("MemorySwappiness: {value} is not between 0 and 100")));
        }
    };
    let reservations = asked.reservations.unwrap_or_default();
    resources.reserved_nano_cpus = amount("Reservations.NanoCPUs", reservations.nano_cpus)?;
    resources.reserved_memory = amount("Reservations.MemoryBytes", reservations.memory_bytes)?;
    resources.memory_reservation = resources.reserved_memory;
    resources.reserved_generic.clear();
    for generic in reservations.generic_resources {
        if let Some(named) = generic.named_resource_spec {
            return Err(ApiError::bad_request(format!(
                "generic resource {}={}: a reservation names a count, not one of the resources",
                named.kind, named.value
            )));
        }
        let discrete = generic.discrete_resource_spec.unwrap_or_default();
        let count = amount(&format!("generic resource {}", discrete.kind), discrete.value)?;
        if let Some(count) = count {
            *resources.reserved_generic.entry(discrete.kind).or_default() += count;
        }
    }
    Ok(())
}

fn port(port: dto::PortConfig) -> Result<PortSpec, ApiError> {
    if port.target_port == 0 {
        return Err(ApiError::bad_request("EndpointSpec: TargetPort must be given"));
    }
    let protocol = if port.protocol.is_empty() { "tcp" } else { &port.protocol };
    Ok(PortSpec {
        host_ip: None,
        host_port: (port.published_port != 0).then_some((port.published_port, port.published_port)),
        container_port: (port.target_port, port.target_port),
        protocol: parsed("Protocol", protocol, "tcp, udp or sctp")?,
        mode: match port.publish_mode.as_str() {
            "" | "ingress" => PublishMode::Ingress,
            "host" => PublishMode::Host,
            other => {
                return Err(ApiError::bad_request(format!("invalid PublishMode {other:?}: expected ingress or host")));
            }
        },
        name: text(port.name),
        app_protocol: None,
    })
}

fn restart(policy: dto::RestartPolicy, job: bool) -> Result<ServiceRestart, ApiError> {
    let default = ServiceRestart::default();
    Ok(ServiceRestart {
        condition: match policy.condition.as_str() {
            "" if job => RestartCondition::OnFailure,
            "" | "any" => RestartCondition::Any,
            "on-failure" => RestartCondition::OnFailure,
            "none" => RestartCondition::None,
            other => {
                return Err(ApiError::bad_request(format!(
                    "invalid restart condition {other:?}: expected none, on-failure or any"
                )));
            }
        },
        delay: span("RestartPolicy.Delay", policy.delay)?.unwrap_or(default.delay),
        max_attempts: policy.max_attempts.filter(|most| *most > 0).map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
        window: span("RestartPolicy.Window", policy.window)?.unwrap_or(default.window),
    })
}

/// Nanoseconds that cannot be negative.
pub(super) fn span(field: &str, nanos: Option<i64>) -> Result<Option<Duration>, ApiError> {
    match nanos {
        None => Ok(None),
        Some(0..) => Ok(nanos.map(|nanos| Duration::from_nanos(nanos.unsigned_abs()))),
        Some(nanos) => Err(ApiError::bad_request(format!("{field} cannot be negative: {nanos}"))),
    }
}

fn placement(placement: dto::Placement) -> Placement {
    let platform = |platform: dto::Platform| match (platform.os.as_str(), platform.architecture.as_str()) {
        (os, "") => os.to_owned(),
        (os, architecture) => format!("{os}/{architecture}"),
    };
    Placement {
        constraints: placement.constraints,
        spread: placement
            .preferences
            .into_iter()
            .filter_map(|preference| preference.spread)
            .map(|spread| spread.spread_descriptor)
            .collect(),
        max_replicas_per_node: (placement.max_replicas > 0)
            .then(|| u32::try_from(placement.max_replicas).unwrap_or(u32::MAX)),
        platforms: placement.platforms.into_iter().map(platform).filter(|text| !text.is_empty()).collect(),
        strategy: PlacementStrategy::default(),
    }
}

fn update(config: dto::UpdateConfig, what: &str) -> Result<UpdateConfig, ApiError> {
    let rollback = what == "RollbackConfig";
    Ok(UpdateConfig {
        parallelism: u32::try_from(config.parallelism).unwrap_or(u32::MAX),
        delay: span(&format!("{what}.Delay"), Some(config.delay))?.unwrap_or_default(),
        failure_action: match config.failure_action.as_str() {
            "" | "pause" => FailureAction::Pause,
            "continue" => FailureAction::Continue,
            "rollback" if !rollback => FailureAction::Rollback,
            other => {
                return Err(ApiError::bad_request(format!("unrecognized {what} failure action {other:?}")));
            }
        },
        // What is not given is Docker's default.
        monitor: span(&format!("{what}.Monitor"), Some(config.monitor))?
            .filter(|monitor| !monitor.is_zero())
            .unwrap_or(UpdateConfig::default().monitor),
        max_failure_ratio: config.max_failure_ratio,
        order: match config.order.as_str() {
            "" | "stop-first" => UpdateOrder::StopFirst,
            "start-first" => UpdateOrder::StartFirst,
            other => {
                return Err(ApiError::bad_request(format!(
                    "invalid {what} order {other:?}: expected stop-first or start-first"
                )));
            }
        },
    })
}
