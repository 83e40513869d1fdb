//! What a service's definition must be by itself.

use std::collections::BTreeSet;

use hoist_proto::spec::{EndpointMode, PublishMode, Rebalance, RestartCondition, ServiceSpec, UpdateConfig};
use hoist_scheduler::Constraint;

use crate::control::ControlError;

/// The longest name that is also a host's.
const LONGEST: usize = 63;

pub(super) fn check(spec: &ServiceSpec) -> Result<(), ControlError> {
    let refuse = |why: String| Err(ControlError::Refused(why));
    check_name(&spec.name, LONGEST, "service")?;
    if spec.task.container.image.is_empty() {
        return refuse("ContainerSpec: image reference must be provided".into());
    }
    for constraint in &spec.task.placement.constraints {
        if let Err(error) = constraint.parse::<Constraint>() {
            return refuse(error.to_string());
        }
    }
    if let Err(why) = Rebalance::of_labels(&spec.labels) {
        return refuse(why);
    }
    let job = spec.mode.is_job();
    if job && (spec.update.is_some() || spec.rollback.is_some()) {
        return refuse("job-mode services may not have update or rollback options".into());
    }
    if job && spec.task.restart.as_ref().is_some_and(|restart| restart.condition == RestartCondition::Any) {
        return refuse("job-mode services may not be restarted on any condition: use on-failure or none".into());
    }
    check_update("update", spec.update.as_ref())?;
    check_update("rollback", spec.rollback.as_ref())?;
    check_ports(spec)?;
    check_files(spec)
}

/// A name as Docker's cluster takes it.
pub(in crate::control) fn check_name(name: &str, longest: usize, kind: &str) -> Result<(), ControlError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let valid = !name.is_empty()
        && name.len() <= longest
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    if valid && (kind != "service" || !name.contains('.')) {
        return Ok(());
    }
    Err(ControlError::Refused(format!(
        "invalid name {name:?}: a {kind}'s name has 1 to {longest} letters, digits, - and _, and begins and ends with a \
         letter or digit"
    )))
}

fn check_update(what: &str, config: Option<&UpdateConfig>) -> Result<(), ControlError> {
    match config {
        Some(config) if !(0.0..=1.0).contains(&config.max_failure_ratio) => Err(ControlError::Refused(format!(
            "{what}: the maximum failure ratio {} is not between 0 and 1",
            config.max_failure_ratio
        ))),
        _ => Ok(()),
    }
}

fn check_ports(spec: &ServiceSpec) -> Result<(), ControlError> {
    let mut seen = BTreeSet::new();
    for port in &spec.task.container.ports {
        if port.mode == PublishMode::Ingress && spec.endpoint_mode == EndpointMode::Dnsrr {
            return Err(ControlError::Refused(
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode".into(),
            ));
        }
        if let Some(published) = port.host_port
            && !seen.insert((published, port.protocol))
        {
            return Err(ControlError::Refused(format!(
                "EndpointSpec: duplicate published ports provided: {}/{}",
                published.0, port.protocol
            )));
        }
    }
    Ok(())
}

fn check_files(spec: &ServiceSpec) -> Result<(), ControlError> {
    let mut seen = BTreeSet::new();
    for file in &spec.task.container.files {
        if file.target.is_empty() {
            return Err(ControlError::Refused(format!("{:?} has no target file", file.source)));
        }
        if !seen.insert((file.secret, &file.target)) {
            let kind = if file.secret { "secret" } else { "config" };
            return Err(ControlError::Refused(format!(
                "{kind} references '{}' have a conflicting target: {}",
                file.source, file.target
            )));
        }
    }
    Ok(())
}
