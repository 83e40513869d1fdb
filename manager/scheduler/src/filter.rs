//! The conditions a node must meet, each with its words for "why not".

use std::fmt;

use hoist_proto::spec::{Availability, NodeState as State, Task};

use crate::{Constraint, NodeState, constraint::same_architecture, snapshot::host_ports};

/// One condition.
pub(crate) struct Filter {
    pub(crate) suits: fn(&Task, &NodeState) -> bool,
    /// What is the matter with `n` nodes; with the task, for the figures.
    explain: fn(u32, &Task) -> String,
    /// Whether a node that fails it is no place for a global service (rather than one that waits).
    pub(crate) decides_global: bool,
}

fn nodes(count: u32) -> &'static str {
    if count == 1 { "node" } else { "nodes" }
}

/// In the order in which they are asked: a node is counted under the first that it fails.
pub(crate) const FILTERS: &[Filter] = &[
    Filter {
        suits: |_, state| state.node.status.state == State::Ready,
        explain: |n, _| format!("{n} {} not ready", if n == 1 { "node is" } else { "nodes are" }),
        decides_global: false,
    },
    Filter {
        suits: |_, state| state.node.spec.availability == Availability::Active,
        explain: |n, _| format!("{n} {} not available for new tasks", if n == 1 { "node is" } else { "nodes are" }),
        decides_global: true,
    },
    Filter {
        suits: |task, state| {
            // Malformed constraints are refused when the service is written.
            task.spec
                .placement
                .constraints
                .iter()
                .all(|text| text.parse::<Constraint>().is_ok_and(|constraint| constraint.met_by(&state.node)))
        },
        explain: |n, task| {
            let constraints = task.spec.placement.constraints.join(", ");
            format!("{n} {} not meet the constraints ({constraints})", if n == 1 { "node does" } else { "nodes do" })
        },
        decides_global: true,
    },
    Filter {
        suits: |task, state| {
            let wanted = task.spec.container.platform.iter().chain(&task.spec.placement.platforms);
            let mut wanted = wanted.peekable();
            // A node that has not described itself yet is not turned down for it.
            let node = &state.node.description;
            wanted.peek().is_none()
                || node.architecture.is_empty()
                || wanted.any(|platform| {
                    let mut parts = platform.split('/');
                    let os = parts.next().unwrap_or_default();
                    (os.is_empty() || os == node.os)
                        && parts.next().is_none_or(|arch| same_architecture(arch, &node.architecture))
                })
        },
        explain: |n, task| {
            let platform = task.spec.container.platform.as_deref().unwrap_or("the wanted platform");
            format!("{n} {} not {platform}", if n == 1 { "node is" } else { "nodes are" })
        },
        decides_global: true,
    },
    Filter {
        suits: |task, state| {
            let wanted = task.spec.container.resources.reserved_nano_cpus.unwrap_or(0);
            wanted == 0 || state.nano_cpus.saturating_add(wanted) <= state.node.description.nano_cpus
        },
        explain: |n, task| {
            let cpus = task.spec.container.resources.reserved_nano_cpus.unwrap_or(0) as f64 / 1e9;
            format!("{n} {} {cpus} free CPUs", if n == 1 { "node lacks" } else { "nodes lack" })
        },
        decides_global: false,
    },
    Filter {
        suits: |task, state| {
            let wanted = task.spec.container.resources.reserved_memory.unwrap_or(0);
            wanted == 0 || state.memory.saturating_add(wanted) <= state.node.description.memory
        },
        explain: |n, task| {
            let memory = task.spec.container.resources.reserved_memory.unwrap_or(0);
            let memory = hoist_proto::unit::format_bytes_binary(memory);
            format!("{n} {} {memory} of free memory", if n == 1 { "node lacks" } else { "nodes lack" })
        },
        decides_global: false,
    },
    Filter {
        suits: |task, state| {
            let most = task.spec.placement.max_replicas_per_node.unwrap_or(0);
            most == 0 || state.by_service.get(&task.service).copied().unwrap_or(0) < most
        },
        explain: |n, task| {
            let most = task.spec.placement.max_replicas_per_node.unwrap_or(0);
            format!("{n} {} the maximum of {most} tasks of the service", if n == 1 { "node has" } else { "nodes have" })
        },
        decides_global: false,
    },
    Filter {
        suits: |task, state| host_ports(task).all(|port| !state.ports.contains(&port)),
        explain: |n, task| {
            let ports: Vec<String> = host_ports(task).map(|(protocol, port)| format!("{port}/{protocol}")).collect();
            format!("port {} is taken on {n} {}", ports.join(", "), nodes(n))
        },
        decides_global: false,
    },
];

/// Why no node takes a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Unsuitable {
    reasons: Vec<String>,
}

impl Unsuitable {
    pub(crate) fn new(task: &Task, rejected: &[u32]) -> Self {
        let reasons = FILTERS
            .iter()
            .zip(rejected)
            .filter(|(_, count)| **count > 0)
            .map(|(filter, count)| (filter.explain)(*count, task))
            .collect();
        Self { reasons }
    }

    /// One reason for each condition that turned nodes down.
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reasons.is_empty() {
            return f.write_str("no suitable node: the cluster has none");
        }
        write!(f, "no suitable node: {}", self.reasons.join("; "))
    }
}
