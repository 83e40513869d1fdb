//! Services as the Engine API asks for them, one at a time: created, changed, rolled back, removed.

mod check;
mod resolve;

use std::sync::Arc;

use hoist_proto::{
    id::{NodeId, ServiceId},
    spec::{Lifecycle, Meta, Service, ServiceMode, ServiceSpec, Task, UpdateState, UpdateStatus},
};
use hoist_scheduler::{Explanation, Snapshot};
use hoist_store::{Kind, StoreError, Tables, Tx};

use super::{Control, ControlError, devices};
use crate::{allocator::mesh, hash::spec_hash, orchestrator::rebalance};

pub(super) use check::check_name;

/// To what a service is changed.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceChange {
    To(Box<ServiceSpec>),
    /// What it was before its last change.
    Back,
}

/// Credentials that a changed service pulls with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RegistryAuthFrom {
    /// The new definition's own, else those of the definition that it replaces.
    #[default]
    Spec,
    /// Those of the definition before.
    PreviousSpec,
}

impl Control {
    /// Every service that is not on its way out.
    pub fn services(&self) -> Vec<Arc<Service>> {
        self.inner.store.view(|tables| tables.services().iter().filter(|service| is_kept(service)).cloned().collect())
    }

    /// One service, by id, name or the beginning of its id.
    pub fn service(&self, name: &str) -> Result<Arc<Service>, ControlError> {
        self.inner.store.view(|tables| find(tables, name).cloned())
    }

    /// Every task.
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.inner.store.view(|tables| tables.tasks().iter().cloned().collect())
    }

    /// The tasks of a service.
    pub fn tasks_of(&self, service: &ServiceId) -> Vec<Arc<Task>> {
        self.inner.store.view(|tables| tables.tasks_of(service).cloned().collect())
    }

    /// A node's id, by id, host name or the beginning of its id.
    pub fn node_id(&self, name: &str) -> Result<NodeId, ControlError> {
        self.inner.store.view(|tables| {
            let missing = || ControlError::NoSuchNode(name.to_owned());
            if let Some(node) = tables.nodes().named(name) {
                return Ok(node.id.clone());
            }
            let mut found = tables.nodes().iter().filter(|node| !name.is_empty() && node.id.as_str().starts_with(name));
            match (found.next(), found.next()) {
                (Some(node), None) => Ok(node.id.clone()),
                (Some(_), Some(_)) => Err(ControlError::Ambiguous { kind: "node", name: name.to_owned() }),
                _ => Err(missing()),
            }
        })
    }

    /// Makes a service.
    pub async fn create_service(&self, mut spec: ServiceSpec) -> Result<ServiceId, ControlError> {
        check::check(&spec)?;
        let id = ServiceId::random();
        self.inner
            .store
            .update(|tx| {
                resolve::resolve(tx, &mut spec)?;
                devices::check(tx, &spec, None)?;
                mesh::check(tx, &id, &spec).map_err(ControlError::Refused)?;
                let service = Service {
                    id: id.clone(),
                    meta: Meta::default(),
                    spec_hash: spec_hash(&spec),
                    spec,
                    previous: None,
                    update: None,
                    virtual_ips: Vec::new(),
                    mesh: None,
                };
                put(tx, service)
            })
            .await?;
        Ok(id)
    }

    /// Changes a service that is still as it was read: `version` is the one that the caller saw.
    pub async fn update_service(
        &self,
        id: &ServiceId,
        version: u64,
        change: ServiceChange,
        auth: RegistryAuthFrom,
    ) -> Result<(), ControlError> {
        if let ServiceChange::To(spec) = &change {
            check::check(spec)?;
        }
        self.inner
            .store
            .update(|tx| {
                let there = tx
                    .services()
                    .get(id)
                    .filter(|service| is_kept(service))
                    .cloned()
                    .ok_or_else(|| ControlError::NoSuchService(id.to_string()))?;
                if there.meta.version != version {
                    return Err(ControlError::OutOfSequence { name: there.spec.name.clone() });
                }
                let changed = match change {
                    ServiceChange::To(spec) => {
                        devices::check(tx, &spec, Some(&there.spec))?;
                        changed(tx, &there, *spec, auth)?
                    }
                    ServiceChange::Back => rolled_back(tx, &there)?,
                };
                mesh::check(tx, id, &changed.spec).map_err(ControlError::Refused)?;
                put(tx, changed)
            })
            .await
    }

    /// Says of every node what it is to a task.
    pub fn explain(&self, id: &str) -> Result<(Task, Explanation), ControlError> {
        let task = self.task(id)?;
        let mut asked = task.clone();
        if asked.slot != 0 {
            // A task that has a node was free to have another.
            asked.node = None;
        }
        let explanation = self.inner.store.view(|tables| Snapshot::of(tables).explain(&asked));
        Ok((task, explanation))
    }

    /// Moves tasks of a service from nodes that have more of them than others to those, within its update settings;
    /// gives how many.
    pub async fn rebalance(&self, name: &str) -> Result<usize, ControlError> {
        self.inner
            .store
            .update(|tx| {
                let service = find(tx, name)?.clone();
                if !matches!(service.spec.mode, ServiceMode::Replicated { .. }) {
                    return Err(ControlError::Refused(format!(
                        "service {name} is not replicated: only replicated services have tasks that could be elsewhere"
                    )));
                }
                Ok(rebalance(tx, &service)?)
            })
            .await
    }

    /// Removes a service; its name is free at once, its containers go as fast as they stop.
    pub async fn remove_service(&self, name: &str) -> Result<Arc<Service>, ControlError> {
        self.inner
            .store
            .update(|tx| {
                let service = find(tx, name)?.clone();
                tx.modify::<Service>(&service.id, |service| retire(&mut service.spec, &service.id))?;
                Ok(service)
            })
            .await
    }
}

/// Lets a service go, and its name with it.
pub(crate) fn retire(spec: &mut ServiceSpec, id: &ServiceId) {
    spec.lifecycle = Lifecycle::Removed;
    // Compose services are found by their project until they are gone, and their names are bound to it.
    if spec.compose.is_none() {
        spec.name = format!("{}~{id}", spec.name);
    }
}

/// Whether a service is there as far as clients are concerned.
pub(crate) fn is_kept(service: &Service) -> bool {
    service.spec.lifecycle != Lifecycle::Removed
}

/// A service by id, name or the beginning of its id.
pub(crate) fn find<'a>(tables: &'a Tables, name: &str) -> Result<&'a Arc<Service>, ControlError> {
    let missing = || ControlError::NoSuchService(name.to_owned());
    let by_id = name.parse().ok().and_then(|id| tables.services().get(&id));
    if let Some(service) = by_id.or_else(|| tables.services().named(name)).filter(|service| is_kept(service)) {
        return Ok(service);
    }
    let mut found =
        tables.services().iter().filter(|service| is_kept(service) && service.id.as_str().starts_with(name));
    match (found.next(), found.next()) {
        (Some(service), None) if !name.is_empty() => Ok(service),
        (Some(_), Some(_)) if !name.is_empty() => {
            Err(ControlError::Ambiguous { kind: "service", name: name.to_owned() })
        }
        _ => Err(missing()),
    }
}

fn put(tx: &mut Tx<'_>, service: Service) -> Result<(), ControlError> {
    let name = service.spec.name.clone();
    tx.put(service).map_err(|error| match error {
        StoreError::NameTaken { kind: Kind::Service, .. } => {
            ControlError::Conflict(format!("name conflicts with an existing object: service {name} already exists"))
        }
        other => other.into(),
    })
}

pub(super) fn changed(
    tx: &Tx<'_>,
    there: &Service,
    mut spec: ServiceSpec,
    auth: RegistryAuthFrom,
) -> Result<Service, ControlError> {
    if spec.name != there.spec.name {
        return Err(ControlError::Refused("renaming services is not supported".into()));
    }
    if std::mem::discriminant(&spec.mode) != std::mem::discriminant(&there.spec.mode) {
        return Err(ControlError::Refused("service mode change is not allowed".into()));
    }
    // What the Engine API cannot say stays as it is.
    spec.compose.clone_from(&there.spec.compose);
    spec.depends_on.clone_from(&there.spec.depends_on);
    // A compose file's digest no longer says what the service is.
    let own = spec_hash(&ServiceSpec { compose: None, ..spec.clone() });
    if let Some(origin) = &mut spec.compose
        && own != spec_hash(&ServiceSpec { compose: None, ..there.spec.clone() })
    {
        origin.config_hash = format!("updated-{}", &own[..16]);
    }
    match auth {
        RegistryAuthFrom::Spec if spec.task.registry_auth.is_none() => {
            spec.task.registry_auth.clone_from(&there.spec.task.registry_auth);
        }
        RegistryAuthFrom::PreviousSpec => {
            let previous = there.previous.as_ref().and_then(|previous| previous.task.registry_auth.clone());
            spec.task.registry_auth = previous;
        }
        RegistryAuthFrom::Spec => {}
    }
    resolve::resolve(tx, &mut spec)?;
    let mut service = there.clone();
    service.previous = Some(Box::new(there.spec.clone()));
    service.spec_hash = spec_hash(&spec);
    service.spec = spec;
    // A paused update goes on when the service is written again.
    let unfinished = there.update.as_ref().is_some_and(|update| update.completed.is_none());
    service.update = (unfinished || service.spec_hash != there.spec_hash).then(|| UpdateStatus {
        state: UpdateState::Updating,
        started: tx.now(),
        completed: None,
        message: "update in progress".into(),
    });
    Ok(service)
}

fn rolled_back(tx: &Tx<'_>, there: &Service) -> Result<Service, ControlError> {
    let previous = there.previous.as_ref().ok_or_else(|| {
        ControlError::Refused(format!("service {} does not have a previous spec to roll back to", there.spec.name))
    })?;
    let mut service = there.clone();
    service.previous = Some(Box::new(there.spec.clone()));
    service.spec = (**previous).clone();
    service.spec_hash = spec_hash(&service.spec);
    service.update = Some(UpdateStatus {
        state: UpdateState::RollbackStarted,
        started: tx.now(),
        completed: None,
        message: "manually requested rollback".into(),
    });
    Ok(service)
}
