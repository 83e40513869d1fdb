//! The conditions a node must meet, each with its words for "why not".

use std::fmt;

use hoist_proto::{
    spec::{Availability, Node, NodeState as State},
    unit,
};

use crate::{Needs, NodeState, constraint::same_architecture, device};

/// One condition.
pub(crate) struct Filter {
    pub(crate) suits: fn(&Needs, &NodeState, u32) -> bool,
    /// What is the matter with `n` nodes; with the needs, for the figures.
    explain: fn(u32, &Needs) -> String,
    pub(crate) kind: Kind,
}

/// On what a condition depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// On the node alone, for as long as it is there or not: a global service's task waits for it.
    Presence,
    /// On the node alone: one that fails is no place for a global service.
    Fitness,
    /// On what is taken of the node.
    Room,
}

fn is_or_are(n: u32) -> &'static str {
    if n == 1 { "node is" } else { "nodes are" }
}

fn has_or_have(n: u32) -> &'static str {
    if n == 1 { "node has" } else { "nodes have" }
}

fn lack(n: u32) -> &'static str {
    if n == 1 { "node lacks" } else { "nodes lack" }
}

/// In the order in which they are asked: a node is counted under the first that it fails.
pub(crate) const FILTERS: &[Filter] = &[
    Filter {
        suits: |_, state, _| state.node.status.state == State::Ready,
        explain: |n, _| format!("{n} {} not ready", is_or_are(n)),
        kind: Kind::Presence,
    },
    Filter {
        suits: |_, state, _| state.node.spec.availability != Availability::Drain,
        explain: |n, _| format!("{n} {} drained", is_or_are(n)),
        kind: Kind::Fitness,
    },
    Filter {
        suits: |_, state, _| state.node.spec.availability != Availability::Pause,
        explain: |n, _| format!("{n} {} paused", is_or_are(n)),
        kind: Kind::Fitness,
    },
    Filter {
        suits: |needs, state, _| {
            needs.constraints.iter().all(|one| one.as_ref().is_some_and(|constraint| constraint.met_by(&state.node)))
        },
        explain: |n, needs| {
            let constraints = needs.constraint_texts.join(", ");
            format!("{n} {} not meet the constraints ({constraints})", if n == 1 { "node does" } else { "nodes do" })
        },
        kind: Kind::Fitness,
    },
    Filter {
        suits: |needs, state, _| has_platform(&needs.platforms, &state.node),
        explain: |n, needs| format!("{n} {} another platform than {}", has_or_have(n), needs.platforms.join(" or ")),
        kind: Kind::Fitness,
    },
    Filter {
        suits: |needs, state, _| device::has(&needs.devices, &state.node),
        explain: |n, needs| format!("{n} {} {}", has_or_have(n), device::lacking(&needs.devices, "")),
        kind: Kind::Fitness,
    },
    Filter {
        suits: |needs, state, _| {
            needs.nano_cpus == 0 || state.nano_cpus.saturating_add(needs.nano_cpus) <= state.node.description.nano_cpus
        },
        explain: |n, needs| format!("{n} {} {} free CPUs", lack(n), needs.nano_cpus as f64 / 1e9),
        kind: Kind::Room,
    },
    Filter {
        suits: |needs, state, _| {
            needs.memory == 0 || state.memory.saturating_add(needs.memory) <= state.node.description.memory
        },
        explain: |n, needs| format!("{n} {} {} of free memory", lack(n), unit::format_bytes_binary(needs.memory)),
        kind: Kind::Room,
    },
    Filter {
        suits: |needs, state, _| device::has_free(&needs.devices, state),
        explain: |n, needs| format!("{n} {} {}", has_or_have(n), device::lacking(&needs.devices, "free")),
        kind: Kind::Room,
    },
    Filter {
        suits: |needs, _, mine| needs.most_per_node == 0 || mine < needs.most_per_node,
        explain: |n, needs| {
            format!("{n} {} the maximum of {} tasks of the service", has_or_have(n), needs.most_per_node)
        },
        kind: Kind::Room,
    },
    Filter {
        suits: |needs, state, _| needs.ports.iter().all(|port| !state.ports.contains_key(port)),
        explain: |n, needs| {
            let ports: Vec<String> = needs.ports.iter().map(|(protocol, port)| format!("{port}/{protocol}")).collect();
            format!("port {} is taken on {n} {}", ports.join(", "), if n == 1 { "node" } else { "nodes" })
        },
        kind: Kind::Room,
    },
];

fn has_platform(wanted: &[String], node: &Node) -> bool {
    // A node that has not described itself yet is not turned down for it.
    let node = &node.description;
    wanted.is_empty()
        || node.architecture.is_empty()
        || wanted.iter().any(|platform| {
            let mut parts = platform.split('/');
            let os = parts.next().unwrap_or_default();
            (os.is_empty() || os == node.os)
                && parts.next().is_none_or(|arch| arch.is_empty() || same_architecture(arch, &node.architecture))
        })
}

/// The first condition of these kinds that the node fails.
pub(crate) fn first_failed(kinds: &[Kind], needs: &Needs, state: &NodeState, mine: u32) -> Option<usize> {
    FILTERS.iter().position(|filter| kinds.contains(&filter.kind) && !(filter.suits)(needs, state, mine))
}

/// Why no node takes a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Unsuitable {
    reasons: Vec<String>,
}

impl Unsuitable {
    pub(crate) fn new(needs: &Needs, rejected: &[u32]) -> Self {
        let failed = FILTERS.iter().zip(rejected).filter(|(_, count)| **count > 0);
        Self { reasons: failed.map(|(filter, count)| (filter.explain)(*count, needs)).collect() }
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
        write!(f, "no suitable node ({})", self.reasons.join(", "))
    }
}
