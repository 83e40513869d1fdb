//! Tells how a request goes, and decides when it has come to an end: a pure look at the tables after
//! every change.

mod label;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};

use hoist_proto::{
    id::{ServiceId, TaskId},
    spec::{Health, ProjectEvent, ServiceReady, Task, TaskState},
};
use hoist_store::{Index, Store, Tables, Wake, Watch};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::ProgressEvent;

pub(crate) use label::label;
pub(crate) use outcome::{Outcome, all_gone, all_stopped, all_up, is_stuck};

/// What ends a request before its time.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

/// What has been told of a task.
type Told = (TaskState, TaskState, Health, Option<i32>, Option<String>);

/// Watches services until an outcome.
pub(crate) struct Watcher {
    pub(crate) store: Store,
    pub(crate) watch: Watch,
    pub(crate) progress: broadcast::Receiver<ProgressEvent>,
    pub(crate) events: mpsc::Sender<ProjectEvent>,
    pub(crate) cancel: CancellationToken,
    pub(crate) services: BTreeSet<ServiceId>,
    told: BTreeMap<TaskId, (Told, Task)>,
    /// Networks and volumes that agents said they have removed, as `Network NAME`.
    pub(crate) removed: BTreeSet<String>,
    /// Networks and volumes of the project: others' are nobody's business here.
    resources: BTreeSet<String>,
}

impl Watcher {
    pub(crate) fn new(
        store: &Store,
        progress: broadcast::Receiver<ProgressEvent>,
        events: mpsc::Sender<ProjectEvent>,
        cancel: CancellationToken,
    ) -> Self {
        let ((), watch) = store.watch(|_| ());
        Self {
            store: store.clone(),
            watch,
            progress,
            events,
            cancel,
            services: BTreeSet::new(),
            told: BTreeMap::new(),
            removed: BTreeSet::new(),
            resources: BTreeSet::new(),
        }
    }

    /// Takes the tasks as they are for known, so that only what changes is told.
    pub(crate) fn know(&mut self, services: impl IntoIterator<Item = ServiceId>) {
        self.services.extend(services);
        let services = &self.services;
        self.told = self.store.view(|tables| {
            let tasks = services.iter().flat_map(|service| tables.tasks_of(service));
            tasks.map(|task| (task.id.clone(), (state_of(task), Task::clone(task)))).collect()
        });
    }

    /// Tells of the project's networks and volumes as well.
    pub(crate) fn know_resources(&mut self, project: &str) {
        self.resources.extend(self.store.view(|tables| {
            let networks =
                tables.networks().by(Index::Project, project).map(|one| format!("Network {}", one.spec.name));
            let volumes = tables.volumes().by(Index::Project, project).map(|one| format!("Volume {}", one.spec.name));
            networks.chain(volumes).collect::<Vec<_>>()
        }));
    }

    /// Goes on until `outcome` says that it is over.
    pub(crate) async fn until(
        &mut self,
        mut outcome: impl FnMut(&Tables, &BTreeSet<String>) -> Outcome,
    ) -> Result<(), Failure> {
        loop {
            self.tell_changes().await;
            let removed = &self.removed;
            match self.store.view(|tables| outcome(tables, removed)) {
                Outcome::Done => return Ok(()),
                Outcome::Failed(why) => return Err(Failure(why)),
                Outcome::Pending(_) => {}
            }
            tokio::select! {
                () = self.cancel.cancelled() => return Err(Failure("the daemon is stopping".into())),
                wake = self.watch.next() => if matches!(wake, Wake::Closed) {
                    return Err(Failure("the daemon is stopping".into()));
                },
                event = self.progress.recv() => match event {
                    Ok(event) => self.hear(event).await,
                    // What was missed was for the eye only; removals are seen in the tables as well.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Err(Failure("the daemon is stopping".into())),
                },
            }
        }
    }

    /// Tells what has been reported and not been told yet.
    pub(crate) async fn flush(&mut self) {
        while let Ok(event) = self.progress.try_recv() {
            self.hear(event).await;
        }
        self.tell_changes().await;
    }

    async fn hear(&mut self, event: ProgressEvent) {
        let ours = match (&event.task, &event.event) {
            (Some(task), _) => self
                .store
                .view(|tables| tables.get::<Task>(task).is_some_and(|task| self.services.contains(&task.service))),
            (None, ProjectEvent::Resource { resource, .. }) => self.resources.contains(resource),
            (None, _) => true,
        };
        if let ProjectEvent::Resource { resource, state, .. } = &event.event
            && (state == "Removed" || state == "Error")
        {
            self.removed.insert(resource.clone());
        }
        if ours {
            self.send(event.event).await;
        }
    }

    async fn tell_changes(&mut self) {
        let services = &self.services;
        let tasks: Vec<_> =
            self.store.view(|tables| services.iter().flat_map(|service| tables.tasks_of(service)).cloned().collect());
        let mut lines = Vec::new();
        let there: BTreeSet<TaskId> = tasks.iter().map(|task| task.id.clone()).collect();
        let mut vanished = Vec::new();
        self.told.retain(|id, (_, task)| {
            let keep = there.contains(id);
            if !keep {
                vanished.push(task.clone());
            }
            keep
        });
        for mut task in vanished {
            let succeeded = tasks.iter().any(|other| is_successor(other, &task));
            if !succeeded && task.desired == TaskState::Remove && task.status.state != TaskState::Remove {
                task.status.state = TaskState::Remove;
                lines.push(task_event(&task));
            }
        }
        for task in &tasks {
            let now = state_of(task);
            let before = self.told.insert(task.id.clone(), (now.clone(), Task::clone(task)));
            // Of tasks that had the same container one after the other, the last one speaks for it.
            let succeeded = tasks.iter().any(|other| is_successor(other, task));
            let news = before.is_none_or(|(before, _)| before != now && !is_another_try(&before, &now));
            if !succeeded && news {
                lines.push(task_event(task));
            }
        }
        for line in lines {
            self.send(line).await;
        }
    }

    async fn send(&self, event: ProjectEvent) {
        // The request goes on when nobody listens any more.
        let _ = self.events.send(event).await;
    }
}

fn state_of(task: &Task) -> Told {
    let status = &task.status;
    (status.state, task.desired, status.health, status.exit_code, status.error.clone())
}

/// Whether a container that ended has only been started again: that it restarts was told, and whether this try is
/// better than the last one is not known yet.
fn is_another_try(before: &Told, now: &Told) -> bool {
    let ((state_before, _, _, exit_code, _), (state, _, health, None, _)) = (before, now) else { return false };
    let running = *state_before == TaskState::Running && *state == TaskState::Running;
    running && exit_code.is_some() && *health != Health::Healthy
}

/// Whether `other` has the container of `task` after it.
fn is_successor(other: &Task, task: &Task) -> bool {
    other.id != task.id
        && other.node == task.node
        && other.name == task.name
        && task.status.state.is_final()
        && other.meta.created > task.meta.created
}

/// A task as a line of the stream.
pub(crate) fn task_event(task: &Task) -> ProjectEvent {
    let service = task.project.as_ref().and_then(|project| {
        let rest = task.service_name.strip_prefix(project.as_str())?;
        rest.strip_prefix('_')
    });
    ProjectEvent::Task {
        service: service.unwrap_or(&task.service_name).to_owned(),
        name: task.name.clone(),
        task: task.id.to_string(),
        state: task.status.state,
        health: task.status.health,
        message: task.status.message.clone(),
        error: trouble(task),
        exit_code: task.status.exit_code,
        desired: task.desired,
        container_id: task.status.container_id.clone(),
        label: label(task).to_owned(),
    }
}

/// What is wrong with a task, for people.
fn trouble(task: &Task) -> Option<String> {
    let status = &task.status;
    match status.exit_code {
        Some(code) if status.state == TaskState::Running && task.desired == TaskState::Running => {
            Some(format!("exited ({code}), restart {}", status.restart_count))
        }
        // Why it failed once is no news of its end.
        _ => status.error.clone().filter(|_| task.desired <= TaskState::Running || is_stuck(task)),
    }
}

/// Where services that are up can be reached.
pub(crate) fn ready(tables: &Tables, services: &[ServiceId]) -> Vec<ServiceReady> {
    let one = |id: &ServiceId| {
        let service = tables.services().get(id)?;
        let running: Vec<_> = tables.tasks_of(id).filter(|task| task.status.state == TaskState::Running).collect();
        let mut ports: Vec<_> = running.iter().flat_map(|task| task.status.ports.clone()).collect();
        ports.sort();
        ports.dedup();
        let name = service.spec.compose.as_ref().map_or(&service.spec.name, |origin| &origin.service);
        Some(ServiceReady { name: name.clone(), tasks: running.len() as u32, ports })
    };
    services.iter().filter_map(one).collect()
}
