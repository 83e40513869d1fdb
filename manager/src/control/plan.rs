//! The difference between what a project asks for and what is there: a pure function from both to the
//! steps, each with its cause, and the writes that bring them about.

mod conflicts;
mod files;
mod resources;
mod service;

use std::collections::BTreeMap;

use hoist_proto::{
    id::{ConfigId, NodeId, SecretId, ServiceId, TaskId},
    spec::{
        ClusterNetwork, ClusterVolume, Config, Plan, PlanAction, PlanStep, ResourceKind, Secret, Service, Task,
        TaskState, UpOptions,
    },
};
use hoist_store::{Index, StoreError, Tables, Tx};

use super::{
    ControlError,
    convert::{Desired, pre_start},
};

/// What is to be written. Carried out in this order.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    pub(crate) remove_networks: Vec<ClusterNetwork>,
    pub(crate) networks: Vec<ClusterNetwork>,
    pub(crate) volumes: Vec<ClusterVolume>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) configs: Vec<Config>,
    pub(crate) services: Vec<Service>,
    /// Tasks that have ended and whose slots are to be filled again.
    pub(crate) end: Vec<TaskId>,
    pub(crate) unused_secrets: Vec<SecretId>,
    pub(crate) unused_configs: Vec<ConfigId>,
}

/// A plan and what carries it out.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) writes: Writes,
    /// The services that are brought up, in order; and those that go.
    pub(crate) services: Vec<ServiceId>,
    pub(crate) removed: Vec<ServiceId>,
}

/// What planning knows besides the records.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The node whose images these are.
    pub(crate) node: Option<NodeId>,
    /// Ids of images that are here, by the name that services give.
    pub(crate) images: BTreeMap<String, String>,
}

/// Makes new ids; a parameter, so that plans can be compared.
pub(crate) struct Planner<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) desired: &'a Desired,
    pub(crate) options: &'a UpOptions,
    pub(crate) known: &'a Known,
    pub(crate) planned: Planned,
}

impl Planner<'_> {
    fn step(&mut self, action: PlanAction, resource: ResourceKind, name: &str, service: Option<&str>, cause: &str) {
        self.planned.plan.steps.push(PlanStep {
            action,
            resource,
            name: name.to_owned(),
            service: service.map(str::to_owned),
            cause: cause.to_owned(),
        });
    }

    fn warn(&mut self, warning: String) {
        self.planned.plan.warnings.push(warning);
    }
}

/// Plans `up`.
pub(crate) fn plan(
    tables: &Tables,
    desired: &Desired,
    options: &UpOptions,
    known: &Known,
) -> Result<Planned, ControlError> {
    let mut planner = Planner { tables, desired, options, known, planned: Planned::default() };
    planner.planned.plan.project.clone_from(&desired.project);
    conflicts::check(&planner)?;
    let networks = resources::networks(&mut planner)?;
    let volumes = resources::volumes(&mut planner)?;
    let files = files::plan(&mut planner)?;
    service::plan(&mut planner, &networks, &volumes, &files)?;
    orphans(&mut planner);
    files::unused(&mut planner);
    Ok(planner.planned)
}

/// Services of the project that its file does not know any more.
fn orphans(planner: &mut Planner<'_>) {
    let (tables, desired) = (planner.tables, planner.desired);
    let is_desired = |name: &String| desired.services.iter().any(|service| service.key == *name);
    let orphans: Vec<_> = tables
        .services()
        .by(Index::Project, &desired.project)
        .filter(|service| service.spec.compose.as_ref().is_some_and(|origin| !desired.known.contains(&origin.service)))
        // The steps of a service that this request leaves alone stay with it.
        .filter(|service| {
            pre_start::owner(service).is_none_or(|owner| is_desired(owner) || !desired.known.contains(owner))
        })
        .filter(|service| service.spec.lifecycle != hoist_proto::spec::Lifecycle::Removed)
        .cloned()
        .collect();
    let mut left = Vec::new();
    for service in orphans {
        let names = container_names(tables, &service);
        let stale_step = pre_start::owner(&service).is_some_and(is_desired);
        if !planner.options.remove_orphans && !stale_step {
            left.extend(names);
            continue;
        }
        let key = service.spec.compose.as_ref().map(|origin| origin.service.clone());
        for name in names {
            planner.step(
                PlanAction::Remove,
                ResourceKind::Container,
                &name,
                key.as_deref(),
                "the file has no such service",
            );
        }
        let mut removed = (*service).clone();
        removed.spec.lifecycle = hoist_proto::spec::Lifecycle::Removed;
        removed.spec.stop_timeout = planner.options.timeout;
        planner.planned.removed.push(removed.id.clone());
        planner.planned.writes.services.push(removed);
    }
    if !left.is_empty() {
        planner.warn(format!(
            "found orphan containers ({}) for this project: if you removed or renamed a service in the compose file, \
             run this command with --remove-orphans to clean up",
            left.join(", ")
        ));
    }
}

/// The containers that a service has.
pub(crate) fn container_names(tables: &Tables, service: &Service) -> Vec<String> {
    let mut names: Vec<String> = tables
        .tasks_of(&service.id)
        .filter(|task| task.desired != TaskState::Remove)
        .map(|task| task.name.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

impl Writes {
    /// Carries all of it out.
    pub(crate) fn write(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for network in &self.remove_networks {
            tx.remove::<ClusterNetwork>(&network.id)?;
        }
        self.networks.into_iter().try_for_each(|network| tx.put(network))?;
        self.volumes.into_iter().try_for_each(|volume| tx.put(volume))?;
        self.secrets.into_iter().try_for_each(|secret| tx.put(secret))?;
        self.configs.into_iter().try_for_each(|config| tx.put(config))?;
        self.services.into_iter().try_for_each(|service| tx.put(service))?;
        for task in &self.end {
            tx.modify::<Task>(task, |task| task.desired = TaskState::Shutdown)?;
        }
        self.unused_secrets.iter().try_for_each(|id| tx.remove::<Secret>(id))?;
        self.unused_configs.iter().try_for_each(|id| tx.remove::<Config>(id))
    }
}

#[cfg(test)]
mod tests;
