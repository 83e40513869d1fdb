//! `deploy:`: how many, where, restarted and updated how.

use std::collections::BTreeMap;

use hoist_compose::model::{self, Deploy, Service};
use hoist_proto::spec::{
    EndpointMode, FailureAction, Placement, PlacementStrategy, Rebalance, RestartCondition, ServiceMode,
    ServiceRestart, UpdateConfig, UpdateOrder,
};
use hoist_scheduler::Constraint;

use super::Problems;

/// A service's own labels, not its containers'. Docker's clients know a stack by the last one.
pub(super) fn labels(project: &str, service: &Service) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> =
        service.deploy.as_ref().map(|deploy| super::container::pairs(&deploy.labels)).unwrap_or_default();
    labels.insert("com.docker.stack.namespace".into(), project.to_owned());
    labels
}

pub(super) fn mode(service: &Service, replicas: u32, problems: &mut Problems) -> ServiceMode {
    match service.deploy.as_ref().and_then(|deploy| deploy.mode.as_deref()) {
        None | Some("replicated") => ServiceMode::Replicated { replicas },
        Some("global") => ServiceMode::Global,
        Some("replicated-job") => ServiceMode::ReplicatedJob { max_concurrent: replicas, total_completions: replicas },
        Some("global-job") => ServiceMode::GlobalJob,
        Some(other) => {
            problems.add(
                &service.name,
                format!("deploy.mode {other:?} is none of replicated, global, replicated-job and global-job"),
            );
            ServiceMode::default()
        }
    }
}

pub(super) fn endpoint_mode(service: &Service, problems: &mut Problems) -> EndpointMode {
    match service.deploy.as_ref().and_then(|deploy| deploy.endpoint_mode.as_deref()) {
        None | Some("vip") => EndpointMode::Vip,
        Some("dnsrr") => EndpointMode::Dnsrr,
        Some(other) => {
            problems.add(&service.name, format!("deploy.endpoint_mode {other:?} is neither vip nor dnsrr"));
            EndpointMode::Vip
        }
    }
}

pub(super) fn restart(service: &Service, problems: &mut Problems) -> Option<ServiceRestart> {
    let policy = service.deploy.as_ref()?.restart_policy.as_ref()?;
    let condition = match policy.condition.as_deref() {
        None | Some("any") => RestartCondition::Any,
        Some("on-failure") => RestartCondition::OnFailure,
        Some("none") => RestartCondition::None,
        Some(other) => {
            problems.add(
                &service.name,
                format!("deploy.restart_policy.condition {other:?} is none of none, on-failure and any"),
            );
            RestartCondition::Any
        }
    };
    let default = ServiceRestart::default();
    Some(ServiceRestart {
        condition,
        delay: policy.delay.map_or(default.delay, model::Duration::as_std),
        max_attempts: policy.max_attempts.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
        window: policy.window.map_or(default.window, model::Duration::as_std),
    })
}

pub(super) fn placement(service: &Service, problems: &mut Problems) -> Placement {
    let Some(deploy) = &service.deploy else { return Placement::default() };
    let placement = &deploy.placement;
    for text in &placement.constraints {
        if let Err(error) = text.parse::<Constraint>() {
            problems.add(&service.name, format!("deploy.{error}"));
        }
    }
    let labels = super::container::pairs(&deploy.labels);
    if let Err(why) = Rebalance::of_labels(&labels) {
        problems.add(&service.name, format!("deploy.labels: {why}"));
    }
    Placement {
        constraints: placement.constraints.clone(),
        spread: placement.preferences.iter().filter_map(|preference| preference.spread.clone()).collect(),
        max_replicas_per_node: (placement.max_replicas_per_node > 0)
            .then(|| u32::try_from(placement.max_replicas_per_node).unwrap_or(u32::MAX)),
        platforms: Vec::new(),
        strategy: PlacementStrategy::of_labels(&labels).unwrap_or_else(|why| {
            problems.add(&service.name, format!("deploy.labels: {why}"));
            PlacementStrategy::default()
        }),
    }
}

pub(super) fn update(
    service: &Service,
    part: impl Fn(&Deploy) -> Option<&model::UpdateConfig>,
    problems: &mut Problems,
) -> Option<UpdateConfig> {
    let config = part(service.deploy.as_ref()?)?;
    let default = UpdateConfig::default();
    let failure_action = match config.failure_action.as_deref() {
        None | Some("pause") => FailureAction::Pause,
        Some("continue") => FailureAction::Continue,
        Some("rollback") => FailureAction::Rollback,
        Some(other) => {
            problems.add(
                &service.name,
                format!("deploy.update_config.failure_action {other:?} is none of pause, continue and rollback"),
            );
            FailureAction::Pause
        }
    };
    let order = match config.order.as_deref() {
        None | Some("stop-first") => UpdateOrder::StopFirst,
        Some("start-first") => UpdateOrder::StartFirst,
        Some(other) => {
            problems.add(
                &service.name,
                format!("deploy.update_config.order {other:?} is neither stop-first nor start-first"),
            );
            UpdateOrder::StopFirst
        }
    };
    Some(UpdateConfig {
        parallelism: config.parallelism.map_or(default.parallelism, |n| u32::try_from(n).unwrap_or(u32::MAX)),
        delay: config.delay.map_or(default.delay, model::Duration::as_std),
        failure_action,
        monitor: config.monitor.map_or(default.monitor, model::Duration::as_std),
        max_failure_ratio: config.max_failure_ratio.map_or(default.max_failure_ratio, |ratio| ratio as f32),
        order,
    })
}
