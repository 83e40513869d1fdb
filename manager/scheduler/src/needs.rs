//! What a task asks of a node, read once for all tasks that ask for the same.

use hoist_proto::spec::{DeviceRequest, PlacementStrategy, Protocol, PublishMode, Task};

use crate::Constraint;

/// What a task asks of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Needs {
    /// `None` among them is one that cannot be read, which no node meets.
    pub(crate) constraints: Vec<Option<Constraint>>,
    /// As they were written, for explanations.
    pub(crate) constraint_texts: Vec<String>,
    /// `os[/arch[/variant]]`; any of them.
    pub(crate) platforms: Vec<String>,
    pub(crate) nano_cpus: u64,
    pub(crate) memory: u64,
    pub(crate) devices: Vec<DeviceRequest>,
    pub(crate) ports: Vec<(Protocol, u16)>,
    /// 0 is without limit.
    pub(crate) most_per_node: u32,
    pub(crate) spread: Vec<String>,
    pub(crate) strategy: PlacementStrategy,
}

impl Needs {
    /// Reads them from a task.
    pub fn of(task: &Task) -> Self {
        let (placement, container) = (&task.spec.placement, &task.spec.container);
        Self {
            // Malformed constraints are refused when the service is written.
            constraints: placement.constraints.iter().map(|text| text.parse().ok()).collect(),
            constraint_texts: placement.constraints.clone(),
            platforms: container.platform.iter().chain(&placement.platforms).cloned().collect(),
            nano_cpus: container.resources.reserved_nano_cpus.unwrap_or(0),
            memory: container.resources.reserved_memory.unwrap_or(0),
            devices: container.resources.all_requests(),
            ports: host_ports(task).collect(),
            most_per_node: placement.max_replicas_per_node.unwrap_or(0),
            spread: placement.spread.clone(),
            strategy: placement.strategy,
        }
    }
}

impl Needs {
    /// What is asked of a node where the devices are given already.
    pub fn without_devices(&self) -> Self {
        Self { devices: Vec::new(), ..self.clone() }
    }
}

/// The ports of its node's addresses that a task must have for itself.
///
/// A port that is bound to one address of the host may be bound to another as well: only the engine
/// can tell whether these clash.
fn host_ports(task: &Task) -> impl Iterator<Item = (Protocol, u16)> {
    task.spec.container.ports.iter().filter(|port| port.mode == PublishMode::Host && port.host_ip.is_none()).filter_map(
        |port| port.host_port.filter(|(first, last)| first == last).map(|(first, _)| (port.protocol, first)),
    )
}
