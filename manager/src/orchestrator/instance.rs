//! From a service's definition to one task of it.

use hoist_proto::{
    id::{NodeId, TaskId},
    spec::{Meta, Service, Task, TaskState, TaskStatus, UpdateOrder},
};

/// The name of the container in a slot (`None` lets the engine choose one).
pub(crate) fn container_name(service: &Service, slot: u32) -> String {
    // A global service has one task on each node, and each node its own names.
    let number = slot.max(1);
    match &service.spec.compose {
        Some(origin) => match &origin.container_name {
            Some(name) => name.clone(),
            None => format!("{}-{}-{number}", origin.project, origin.service),
        },
        None => format!("{}.{number}", service.spec.name),
    }
}

/// The container's name for one task.
///
/// A container of a compose file has its slot's name, which its successor takes over. Any other service's old and new
/// containers are there side by side, the old ones as its history: each has its task's own name, as in Docker.
fn task_name(service: &Service, slot: u32, node: Option<&NodeId>, id: &TaskId) -> String {
    if service.spec.compose.is_none() {
        let place = match (slot, node) {
            (0, Some(node)) => node.to_string(),
            _ => slot.to_string(),
        };
        return format!("{}.{place}.{id}", service.spec.name);
    }
    let name = container_name(service, slot);
    let overlapping = service.spec.update.as_ref().is_some_and(|update| update.order == UpdateOrder::StartFirst);
    // Old and new run side by side for a while, and a name is held by one.
    if overlapping { format!("{name}-{}", &id.as_str()[..8]) } else { name }
}

/// A new task for the slot, not started.
pub(crate) fn new_task(service: &Service, slot: u32, node: Option<NodeId>, id: TaskId) -> Task {
    let mut spec = service.spec.task.clone();
    let name = task_name(service, slot, node.as_ref(), &id);
    for file in spec.container.files.iter_mut().filter(|file| !file.target.starts_with('/')) {
        let place = if file.secret { "/run/secrets" } else { "" };
        file.target = format!("{place}/{}", file.target);
    }
    Task {
        id,
        meta: Meta::default(),
        service: service.id.clone(),
        service_name: service.spec.name.clone(),
        project: service.spec.compose.as_ref().map(|origin| origin.project.clone()),
        slot,
        node,
        name,
        spec: spec.into(),
        spec_hash: service.spec_hash.clone(),
        desired: TaskState::Ready,
        status: TaskStatus { message: "waits for a node".into(), ..TaskStatus::default() },
        start_after: None,
        restarts: 0,
        started_with: Default::default(),
        addresses: Vec::new(),
        devices: Vec::new(),
        signal: None,
        checkpoint_on_stop: false,
    }
}
