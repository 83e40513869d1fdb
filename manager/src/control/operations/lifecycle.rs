//! `stop`, `start`, `scale` and `rm`: changes to services that exist.

use std::{collections::BTreeSet, sync::Arc};

use hoist_proto::{
    id::ServiceId,
    spec::{
        Lifecycle, ProjectEvent, RmOptions, ScaleOptions, Service, ServiceMode, StartOptions, StopOptions, Task,
        TaskState,
    },
};
use hoist_store::{Index, Tables, Tx};
use tokio::sync::mpsc;

use crate::control::{
    Control, ControlError, EventStream,
    convert::pre_start,
    watch::{Failure, all_gone, all_stopped},
};

/// The project's services of these names with the steps that prepare them; all of them when there is none.
pub(super) fn chosen(tables: &Tables, project: &str, names: &[String]) -> Result<Vec<Arc<Service>>, ControlError> {
    let all: Vec<Arc<Service>> = tables.services().by(Index::Project, project).cloned().collect();
    if all.is_empty() {
        return Err(ControlError::NoSuchProject(project.to_owned()));
    }
    let key = |service: &Service| service.spec.compose.as_ref().map(|origin| origin.service.clone());
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|s| key(s).as_ref() == Some(*name))) {
        return Err(ControlError::NoSuchService(unknown.clone()));
    }
    Ok(all
        .into_iter()
        .filter(|service| service.spec.lifecycle != Lifecycle::Removed)
        .filter(|service| {
            names.is_empty() || key(service).iter().chain(pre_start::owner(service)).any(|name| names.contains(name))
        })
        .collect())
}

/// Whether this is a step of `pre_start` that has succeeded: it is not run again because its service is stopped and
/// started.
fn is_prepared(tables: &Tables, service: &Service) -> bool {
    pre_start::owner(service).is_some()
        && tables
            .tasks_of(&service.id)
            .filter(|task| task.desired <= TaskState::Running)
            .all(|task| task.status.state == TaskState::Complete && task.spec_hash == service.spec_hash)
}

impl Control {
    /// Stops services and keeps their containers; dependents first.
    pub fn stop(&self, name: &str, options: StopOptions) -> EventStream {
        let name = name.to_owned();
        self.request(|control, events| async move { control.run_stop(&name, options, &events).await })
    }

    /// Starts services that were stopped, with what they depend on.
    pub fn start(&self, name: &str, options: StartOptions) -> EventStream {
        let name = name.to_owned();
        self.request(|control, events| async move { control.run_start(&name, options, &events).await })
    }

    /// Changes how many containers services have.
    pub fn scale(&self, name: &str, options: ScaleOptions) -> EventStream {
        let name = name.to_owned();
        self.request(|control, events| async move { control.run_scale(&name, options, &events).await })
    }

    /// Removes the containers of services that are stopped.
    pub fn rm(&self, name: &str, options: RmOptions) -> EventStream {
        let name = name.to_owned();
        self.request(|control, events| async move { control.run_rm(&name, options, &events).await })
    }

    async fn run_stop(
        &self,
        name: &str,
        options: StopOptions,
        events: &mpsc::Sender<ProjectEvent>,
    ) -> Result<(), Failure> {
        let mut watcher = self.watcher(events);
        let services = self
            .inner
            .store
            .update(|tx| {
                let mut services = chosen(tx, name, &options.services)?;
                services.retain(|service| !is_prepared(tx, service));
                for service in &services {
                    tx.modify::<Service>(&service.id, |service| {
                        service.spec.lifecycle = Lifecycle::Stopped;
                        service.spec.stop_timeout = options.timeout;
                    })?;
                }
                Ok::<_, ControlError>(services)
            })
            .await?;
        let ids: BTreeSet<ServiceId> = services.iter().map(|service| service.id.clone()).collect();
        watcher.know(ids.clone());
        watcher.until(|tables, _| all_stopped(tables, &ids)).await
    }

    async fn run_start(
        &self,
        name: &str,
        options: StartOptions,
        events: &mpsc::Sender<ProjectEvent>,
    ) -> Result<(), Failure> {
        let mut watcher = self.watcher(events);
        let services = self
            .inner
            .store
            .update(|tx| {
                let mut services = chosen(tx, name, &options.services)?;
                add_dependencies(tx, &mut services);
                services.retain(|service| !is_prepared(tx, service));
                for service in &services {
                    start(tx, service)?;
                }
                Ok::<_, ControlError>(services)
            })
            .await?;
        let ids: Vec<ServiceId> = services.iter().map(|service| service.id.clone()).collect();
        watcher.know(ids.clone());
        self.watch_up(&mut watcher, &ids, options.wait, options.wait_timeout).await?;
        self.tell_ready(&ids, events).await;
        Ok(())
    }

    async fn run_scale(
        &self,
        name: &str,
        options: ScaleOptions,
        events: &mpsc::Sender<ProjectEvent>,
    ) -> Result<(), Failure> {
        let mut watcher = self.watcher(events);
        let names: Vec<String> = options.scale.keys().cloned().collect();
        let services = self
            .inner
            .store
            .update(|tx| {
                let services = chosen(tx, name, &names)?;
                for service in &services {
                    let origin = service.spec.compose.as_ref();
                    let key = origin.map_or(&service.spec.name, |origin| &origin.service);
                    let Some(&count) = options.scale.get(key) else { continue };
                    if count > 1 && origin.is_some_and(|origin| origin.container_name.is_some()) {
                        return Err(ControlError::Conflict(format!(
                            "service {key:?} has a container_name and cannot be scaled beyond one container"
                        )));
                    }
                    let ServiceMode::Replicated { .. } = service.spec.mode else {
                        return Err(ControlError::Conflict(format!(
                            "service {key:?} is not a replicated service and cannot be scaled"
                        )));
                    };
                    tx.modify::<Service>(&service.id, |service| {
                        service.spec.mode = ServiceMode::Replicated { replicas: count };
                        service.spec.lifecycle = Lifecycle::Running;
                    })?;
                }
                Ok::<_, ControlError>(services)
            })
            .await?;
        let ids: Vec<ServiceId> = services.iter().map(|service| service.id.clone()).collect();
        watcher.know(ids.clone());
        self.watch_up(&mut watcher, &ids, false, None).await?;
        self.tell_ready(&ids, events).await;
        Ok(())
    }

    async fn run_rm(&self, name: &str, options: RmOptions, events: &mpsc::Sender<ProjectEvent>) -> Result<(), Failure> {
        let mut watcher = self.watcher(events);
        let (going, running) = self
            .inner
            .store
            .update(|tx| {
                let services = chosen(tx, name, &options.services)?;
                let (mut going, mut running) = (BTreeSet::new(), Vec::new());
                for service in services {
                    let stopped = tx.tasks_of(&service.id).all(|task| task.status.state.is_final());
                    if !stopped && !options.stop {
                        running.push(service.spec.compose.as_ref().map_or_else(String::new, |o| o.service.clone()));
                        continue;
                    }
                    going.insert(service.id.clone());
                    tx.modify::<Service>(&service.id, |service| {
                        service.spec.lifecycle = Lifecycle::Removed;
                        service.spec.stop_timeout = options.timeout;
                        service.spec.remove_volumes = options.volumes;
                    })?;
                }
                Ok::<_, ControlError>((going, running))
            })
            .await?;
        for service in running.iter().filter(|service| options.services.contains(service)) {
            let message = format!("service {service:?} is running, and only stopped containers are removed");
            let _ = events.send(ProjectEvent::Warning { message }).await;
        }
        watcher.know(going.clone());
        watcher.until(|tables, _| all_gone(tables, &going)).await
    }
}

/// Adds what the services need to be able to start.
fn add_dependencies(tables: &Tables, services: &mut Vec<Arc<Service>>) {
    let mut next = 0;
    while let Some(service) = services.get(next).cloned() {
        next += 1;
        for dependency in &service.spec.depends_on {
            if let Some(other) = tables.services().named(&dependency.service)
                && other.spec.lifecycle != Lifecycle::Removed
                && !services.iter().any(|known| known.id == other.id)
            {
                services.push(other.clone());
            }
        }
    }
}

fn start(tx: &mut Tx<'_>, service: &Service) -> Result<(), ControlError> {
    let over: Vec<_> = tx
        .tasks_of(&service.id)
        .filter(|task| task.desired <= TaskState::Running && task.status.state.is_final())
        .map(|task| task.id.clone())
        .collect();
    for task in over {
        tx.modify::<Task>(&task, |task| task.desired = TaskState::Shutdown)?;
    }
    if service.spec.lifecycle != Lifecycle::Running {
        tx.modify::<Service>(&service.id, |service| service.spec.lifecycle = Lifecycle::Running)?;
    }
    Ok(())
}
