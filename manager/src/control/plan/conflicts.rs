//! What two services cannot both have.

use hoist_proto::spec::{Lifecycle, PortSpec, Service};

use super::Planner;
use crate::control::ControlError;

pub(super) fn check(planner: &Planner<'_>) -> Result<(), ControlError> {
    let mut problems = Vec::new();
    let desired = planner.desired;
    for wanted in &desired.services {
        let others = planner
            .tables
            .services()
            .iter()
            .filter(|other| other.spec.name != wanted.spec.name && other.spec.lifecycle != Lifecycle::Removed);
        for other in others {
            // Within the project, the file's own definition counts, not the one that it replaces.
            let replaced = desired.services.iter().any(|service| service.spec.name == other.spec.name);
            if !replaced {
                clash(&wanted.key, &wanted.spec, &other.spec, planner.options.no_start, &mut problems);
            }
        }
    }
    for (position, one) in desired.services.iter().enumerate() {
        for other in &desired.services[position + 1..] {
            clash(&one.key, &one.spec, &other.spec, planner.options.no_start, &mut problems);
        }
    }
    for name in planner.options.scale.keys() {
        if !desired.known.contains(name) {
            problems.push(format!("no such service: {name}"));
        }
    }
    if let Some(removed) = removed_service(planner) {
        problems.push(format!("service {:?} is being removed; try again when it has gone", removed.spec.name));
    }
    if problems.is_empty() { Ok(()) } else { Err(ControlError::Invalid(problems)) }
}

fn removed_service<'a>(planner: &'a Planner<'_>) -> Option<&'a Service> {
    planner.desired.services.iter().find_map(|wanted| {
        let there = planner.tables.services().named(&wanted.spec.name)?;
        (there.spec.lifecycle == Lifecycle::Removed).then_some(&**there)
    })
}

fn clash(
    key: &str,
    wanted: &hoist_proto::spec::ServiceSpec,
    other: &hoist_proto::spec::ServiceSpec,
    no_start: bool,
    problems: &mut Vec<String>,
) {
    let name_of = |spec: &hoist_proto::spec::ServiceSpec| spec.compose.as_ref().and_then(|o| o.container_name.clone());
    let whose = match &other.compose {
        Some(origin) => format!("service {:?} of project {:?}", origin.service, origin.project),
        None => format!("service {:?}", other.name),
    };
    if let Some(name) = name_of(wanted)
        && name_of(other).as_ref() == Some(&name)
    {
        problems.push(format!("service {key:?}: container name {name:?} is used by {whose}"));
    }
    if no_start || other.lifecycle != Lifecycle::Running {
        return;
    }
    for port in &wanted.task.container.ports {
        if let Some(taken) = other.task.container.ports.iter().find(|taken| overlap(port, taken)) {
            let number = taken.host_port.map_or(0, |(first, _)| first);
            problems.push(format!("service {key:?}: port {number}/{} is already published by {whose}", port.protocol));
        }
    }
}

/// Whether both want the very same port of the host.
fn overlap(left: &PortSpec, right: &PortSpec) -> bool {
    let one = |port: &PortSpec| port.host_port.filter(|(first, last)| first == last).map(|(first, _)| first);
    let any = |ip: Option<std::net::IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
    left.protocol == right.protocol
        && one(left).is_some()
        && one(left) == one(right)
        && (any(left.host_ip) || any(right.host_ip) || left.host_ip == right.host_ip)
}
