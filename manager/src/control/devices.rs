//! Devices that services ask for: refused when no node could ever give them.

use hoist_proto::spec::ServiceSpec;
use hoist_scheduler::never_met;
use hoist_store::Tables;

use super::ControlError;

/// Refuses what no node of the cluster has, whoever holds it; with the nearest that one has.
pub(super) fn check(tables: &Tables, spec: &ServiceSpec) -> Result<(), ControlError> {
    let requests = spec.task.container.resources.all_requests();
    if requests.is_empty() {
        return Ok(());
    }
    let nodes: Vec<_> = tables.nodes().iter().map(|node| &**node).collect();
    match never_met(&requests, &nodes) {
        None => Ok(()),
        Some(why) => Err(ControlError::Refused(format!("service {}: {why}", spec.name))),
    }
}
