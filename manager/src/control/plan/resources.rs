//! Networks and volumes.

use std::collections::BTreeMap;

use hoist_proto::{
    id::{NetworkId, VolumeId},
    spec::{ClusterNetwork, ClusterVolume, Meta, NetworkSpec, OVERLAY, PlanAction, ResourceKind},
};

use super::Planner;
use crate::control::{ControlError, convert::CONFIG_HASH};

/// Plans the networks; gives the record of each key, and the keys whose network is new.
pub(super) fn networks(planner: &mut Planner<'_>) -> Result<BTreeMap<String, NetworkId>, ControlError> {
    let mut ids = BTreeMap::new();
    let desired = planner.desired;
    for wanted in &desired.networks {
        let name = &wanted.spec.name;
        let there = planner.tables.networks().named(name).cloned();
        let spec = fit(planner, &wanted.spec, wanted.external);
        let new = |external: bool| ClusterNetwork {
            id: NetworkId::random(),
            meta: Meta::default(),
            spec: spec.clone(),
            project: (!external).then(|| desired.project.clone()),
            key: (!external).then(|| wanted.key.clone()),
            external,
            removing: false,
            allocation: None,
        };
        let id = match there {
            Some(there) if wanted.external => there.id.clone(),
            None if wanted.external => {
                let network = new(true);
                let id = network.id.clone();
                planner.planned.writes.networks.push(network);
                id
            }
            None => {
                let network = new(false);
                let id = network.id.clone();
                planner.step(PlanAction::Create, ResourceKind::Network, name, None, "it does not exist");
                planner.planned.writes.networks.push(network);
                id
            }
            Some(there) if there.project.as_deref() != Some(&desired.project) => {
                let whose = there
                    .project
                    .as_ref()
                    .map_or_else(|| "outside of any project".into(), |p| format!("of project {p:?}"));
                return Err(ControlError::Conflict(format!(
                    "network {name:?} exists already {whose}; declare it as external to use it"
                )));
            }
            Some(there)
                if there.spec.labels.get(CONFIG_HASH) != wanted.spec.labels.get(CONFIG_HASH)
                    || there.spec.driver != spec.driver =>
            {
                let network = new(false);
                let id = network.id.clone();
                planner.step(PlanAction::Recreate, ResourceKind::Network, name, None, "its definition changed");
                planner.planned.writes.remove_networks.push((*there).clone());
                planner.planned.writes.networks.push(network);
                id
            }
            Some(there) => {
                if there.removing {
                    let mut kept = (*there).clone();
                    kept.removing = false;
                    planner.planned.writes.networks.push(kept);
                }
                planner.step(PlanAction::Keep, ResourceKind::Network, name, None, "it exists");
                there.id.clone()
            }
        };
        ids.insert(wanted.key.clone(), id);
    }
    Ok(ids)
}

/// A network of which nothing else is said spans nodes, as soon as there are any to span.
fn fit(planner: &mut Planner<'_>, wanted: &NetworkSpec, external: bool) -> NetworkSpec {
    let mut spec = wanted.clone();
    let many = planner.tables.cluster().is_some_and(|cluster| cluster.pki.is_some());
    if external || !many {
        return spec;
    }
    match spec.driver.as_str() {
        "" => {
            spec.driver = OVERLAY.to_owned();
            // As on one machine, where every container can be put on every network.
            spec.attachable = true;
        }
        "bridge" if planner.tables.nodes().len() > 1 => planner.warn(format!(
            "network {:?} has the driver bridge: its containers reach only those on the same node; leave the driver \
             out, or say overlay, for one that spans nodes",
            spec.name
        )),
        _ => {}
    }
    spec
}

/// Plans the volumes. One that changed is kept: its data is worth more than its definition.
pub(super) fn volumes(planner: &mut Planner<'_>) -> Result<BTreeMap<String, VolumeId>, ControlError> {
    let mut ids = BTreeMap::new();
    let desired = planner.desired;
    for wanted in &desired.volumes {
        let name = &wanted.spec.name;
        let there = planner.tables.volumes().named(name).cloned();
        let id = match there {
            None => {
                let volume = ClusterVolume {
                    id: VolumeId::random(),
                    meta: Meta::default(),
                    spec: wanted.spec.clone(),
                    project: (!wanted.external).then(|| desired.project.clone()),
                    key: (!wanted.external).then(|| wanted.key.clone()),
                    external: wanted.external,
                    removing: false,
                };
                let id = volume.id.clone();
                if !wanted.external {
                    planner.step(PlanAction::Create, ResourceKind::Volume, name, None, "it does not exist");
                }
                planner.planned.writes.volumes.push(volume);
                id
            }
            Some(there) if wanted.external => there.id.clone(),
            Some(there) if there.project.as_deref() != Some(&desired.project) => {
                let whose = there
                    .project
                    .as_ref()
                    .map_or_else(|| "outside of any project".into(), |p| format!("of project {p:?}"));
                return Err(ControlError::Conflict(format!(
                    "volume {name:?} exists already {whose}; declare it as external to use it"
                )));
            }
            Some(there) => {
                if there.spec.labels.get(CONFIG_HASH) != wanted.spec.labels.get(CONFIG_HASH) {
                    planner.warn(format!(
                        "volume {name:?} exists with another definition and is kept as it is, with its data; \
                         remove it to have it made anew"
                    ));
                }
                if there.removing {
                    let mut kept = (*there).clone();
                    kept.removing = false;
                    planner.planned.writes.volumes.push(kept);
                }
                planner.step(PlanAction::Keep, ResourceKind::Volume, name, None, "it exists");
                there.id.clone()
            }
        };
        ids.insert(wanted.key.clone(), id);
    }
    Ok(ids)
}
