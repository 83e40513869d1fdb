//! By which labels a container tells whose it is.

use std::collections::BTreeMap;

use hoist_proto::spec::Task;

pub(super) const SERVICE: &str = "hoist.service.id";
/// Of every container that is a task's; its value is the task's id.
pub(crate) const TASK: &str = "hoist.task.id";
pub(super) const SPEC_HASH: &str = "hoist.spec-hash";

/// Puts a task's own labels among those that its service asks for: ours, and Compose's or Swarm's.
pub(super) fn put(labels: &mut BTreeMap<String, String>, task: &Task) {
    let mut put = |key: &str, value: String| drop(labels.insert(key.to_owned(), value));
    put(SERVICE, task.service.to_string());
    put("hoist.service.name", task.service_name.clone());
    put(TASK, task.id.to_string());
    put("hoist.task.name", format!("{}.{}", task.service_name, task.slot));
    put(SPEC_HASH, task.spec_hash.clone());
    if task.project.is_some() {
        put("com.docker.compose.container-number", task.slot.max(1).to_string());
        return;
    }
    put("com.docker.swarm.service.id", task.service.to_string());
    put("com.docker.swarm.service.name", task.service_name.clone());
    put("com.docker.swarm.task", String::new());
    put("com.docker.swarm.task.id", task.id.to_string());
    put("com.docker.swarm.task.name", task.name.clone());
    if let Some(node) = &task.node {
        put("com.docker.swarm.node.id", node.to_string());
    }
}
