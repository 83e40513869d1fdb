//! From what the engine says of a container to what is told of its task.

use std::net::IpAddr;

use hoist_engine::{Container, HealthStatus, Status};
use hoist_proto::spec::{Health, Protocol, PublishedPort, RestartCondition, Task, TaskAddress, TaskState, TaskStatus};

/// The status of a task with this container; what the container does not tell stays as it was.
pub(super) fn of(container: &Container, before: &TaskStatus) -> TaskStatus {
    let state = &container.state;
    let mut status = before.clone();
    status.container_id = Some(container.id.to_string());
    status.image_id = Some(container.image_id.clone());
    status.restart_count = state.restart_count;
    status.pid = state.pid;
    status.health = match state.health.as_ref().map(|health| health.status) {
        None => Health::None,
        Some(HealthStatus::Starting) => Health::Starting,
        Some(HealthStatus::Healthy) => Health::Healthy,
        Some(HealthStatus::Unhealthy) => Health::Unhealthy,
    };
    match state.status {
        Status::Running | Status::Paused | Status::Restarting => {
            status.state = TaskState::Running;
            status.error = None;
            status.exit_code = state.exit_code.filter(|_| state.status == Status::Restarting);
            status.message = match state.status {
                Status::Paused => "paused".into(),
                Status::Restarting => {
                    format!("restarting after exit code {}", state.exit_code.unwrap_or_default())
                }
                _ => "running".into(),
            };
            status.addresses = addresses(container);
            status.ports = ports(container);
        }
        // It has been made and nothing has come of it yet.
        Status::Created => {}
        Status::Exited | Status::Removing | Status::Dead => ended(container, &mut status),
    }
    status
}

fn ended(container: &Container, status: &mut TaskStatus) {
    let state = &container.state;
    let code = state.exit_code.unwrap_or(0);
    status.exit_code = Some(code);
    status.addresses.clear();
    status.ports.clear();
    if state.stopped_by_hand {
        status.state = TaskState::Shutdown;
        status.message = "stopped by hand".into();
        return;
    }
    if code == 0 && state.error.is_empty() {
        status.state = TaskState::Complete;
        status.message = "finished".into();
        status.error = None;
        return;
    }
    status.state = TaskState::Failed;
    status.message = format!("exited ({code})");
    status.error = Some(match (state.error.is_empty(), state.oom_killed) {
        (false, _) => state.error.clone(),
        (true, true) => format!("exited ({code}): killed for want of memory"),
        (true, false) => format!("exited ({code})"),
    });
}

fn addresses(container: &Container) -> Vec<TaskAddress> {
    let all = container.endpoints.iter().flat_map(|endpoint| {
        let v4 = endpoint.ipv4.map(|(address, _)| IpAddr::V4(address));
        let v6 = endpoint.ipv6.map(|(address, _)| IpAddr::V6(address));
        let network = endpoint.network_name.clone();
        v4.into_iter().chain(v6).map(move |address| TaskAddress { network: network.clone(), address })
    });
    all.collect()
}

fn ports(container: &Container) -> Vec<PublishedPort> {
    let one = |port: &hoist_network::PublishedPort| PublishedPort {
        host_ip: port.host_ip,
        host_port: port.host_port,
        container_port: port.container_port,
        protocol: match port.protocol {
            hoist_network::Protocol::Tcp => Protocol::Tcp,
            hoist_network::Protocol::Udp => Protocol::Udp,
            hoist_network::Protocol::Sctp => Protocol::Sctp,
        },
    };
    container.ports.iter().map(one).collect()
}

/// Whether an unhealthy task makes room for another: always, unless its policy is never to restart.
pub(super) fn is_replaced(task: &Task) -> bool {
    task.spec.restart.as_ref().is_none_or(|policy| policy.condition != RestartCondition::None)
}

/// Why a container is unhealthy: the first line of what its test said last.
pub(super) fn unhealthy(container: &Container) -> String {
    let last = container.state.health.as_ref().and_then(|health| health.log.last());
    let words = last.and_then(|last| last.output.lines().map(str::trim).find(|line| !line.is_empty()));
    match (last, words) {
        (_, Some(words)) => format!("unhealthy: {words}"),
        (Some(last), None) => format!("unhealthy: its test exited ({})", last.exit_code),
        (None, None) => "unhealthy".into(),
    }
}
