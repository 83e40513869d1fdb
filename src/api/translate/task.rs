//! A task as the API shows it.

use std::collections::BTreeMap;

use hoist_proto::spec::{PublishMode, Task, TaskState};

use serde_json::json;

use super::{service_back, time};
use crate::api::dto::{
    service::{PortConfig, Version},
    task as dto,
};

/// One task; `job` tells one that is to end from one that is to run.
pub fn task(task: &Task, job: bool) -> dto::Task {
    let status = &task.status;
    let has_container = status.container_id.is_some() || status.exit_code.is_some();
    let container = has_container.then(|| dto::ContainerStatus {
        container_id: status.container_id.clone().unwrap_or_default(),
        pid: status.pid.unwrap_or(0),
        exit_code: status.exit_code.unwrap_or(0),
    });
    dto::Task {
        id: task.id.to_string(),
        version: Version { index: task.meta.version },
        created_at: time::moment(Some(task.meta.created)),
        updated_at: time::moment(Some(task.meta.updated)),
        name: String::new(),
        labels: BTreeMap::new(),
        spec: service_back::task_spec(&task.spec),
        service_id: task.service.to_string(),
        slot: task.slot,
        node_id: task.node.as_ref().map(ToString::to_string).unwrap_or_default(),
        assigned_generic_resources: task
            .devices
            .iter()
            .map(|device| json!({ "NamedResourceSpec": { "Kind": device.kind, "Value": device.name } }))
            .collect(),
        status: dto::TaskStatus {
            timestamp: time::moment(Some(if status.state == TaskState::New { task.meta.created } else { status.at })),
            state: status.state.to_string(),
            message: status.message.clone(),
            err: status.error.clone().unwrap_or_default(),
            container_status: container,
            port_status: dto::PortStatus { ports: host_ports(task) },
        },
        desired_state: match task.desired {
            TaskState::Running if job => TaskState::Complete.to_string(),
            desired => desired.to_string(),
        },
        networks_attachments: Vec::new(),
        job_iteration: None,
    }
}

/// The ports that are published where the task runs.
fn host_ports(task: &Task) -> Vec<PortConfig> {
    let is_host = |port: &&hoist_proto::spec::PublishedPort| {
        let mut asked = task.spec.container.ports.iter();
        asked.any(|asked| {
            asked.mode == PublishMode::Host
                && asked.protocol == port.protocol
                && (asked.container_port.0..=asked.container_port.1).contains(&port.container_port)
        })
    };
    let mut ports: Vec<PortConfig> = task
        .status
        .ports
        .iter()
        .filter(is_host)
        .map(|port| PortConfig {
            name: String::new(),
            protocol: port.protocol.to_string(),
            target_port: port.container_port,
            published_port: port.host_port,
            publish_mode: "host".to_owned(),
        })
        .collect();
    // One for each family of addresses.
    ports.dedup();
    ports
}
