//! Devices that services ask for: refused when no node could ever give them.

use hoist_proto::spec::ServiceSpec;
use hoist_scheduler::never_met;
use hoist_store::Tables;

use super::ControlError;

/// Refuses what no node of the cluster has, whoever holds it; with the nearest that one has. What was asked for
/// `before` is asked for again, also where its node has gone meanwhile.
pub(super) fn check(tables: &Tables, spec: &ServiceSpec, before: Option<&ServiceSpec>) -> Result<(), ControlError> {
    let asked = |spec: &ServiceSpec| spec.task.container.resources.all_requests();
    let requests = asked(spec);
    if requests.is_empty() || before.is_some_and(|before| asked(before) == requests) {
        return Ok(());
    }
    let nodes: Vec<_> = tables.nodes().iter().map(|node| &**node).collect();
    match never_met(&requests, &nodes) {
        None => Ok(()),
        Some(why) => Err(ControlError::Refused(format!("service {}: {why}", spec.name))),
    }
}
