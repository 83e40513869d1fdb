//! Questions that change nothing.

use std::collections::BTreeMap;

use hoist_proto::spec::{Health, ProjectDetail, ProjectEvent, ProjectSummary, Service, Task, TaskState};
use hoist_store::{Index, Tables, Wake};
use tokio::sync::mpsc;

use super::{Control, ControlError, EventStream, watch::task_event};

impl Control {
    /// Every project, by name.
    pub fn projects(&self) -> Vec<ProjectSummary> {
        self.inner.store.view(|tables| {
            let mut names: Vec<String> = tables
                .services()
                .iter()
                .filter_map(|service| service.spec.compose.as_ref().map(|origin| origin.project.clone()))
                .collect();
            names.sort();
            names.dedup();
            names.iter().map(|name| summary(tables, name)).collect()
        })
    }

    /// All about one project.
    pub fn project(&self, name: &str) -> Result<ProjectDetail, ControlError> {
        self.inner.store.view(|tables| {
            let services: Vec<Service> =
                tables.services().by(Index::Project, name).map(|service| (**service).clone()).collect();
            let networks: Vec<_> =
                tables.networks().by(Index::Project, name).map(|network| (**network).clone()).collect();
            let volumes: Vec<_> = tables.volumes().by(Index::Project, name).map(|volume| (**volume).clone()).collect();
            if services.is_empty() && networks.is_empty() && volumes.is_empty() {
                return Err(ControlError::NoSuchProject(name.to_owned()));
            }
            let mut tasks: Vec<Task> = tables.tasks().by(Index::Project, name).map(|task| (**task).clone()).collect();
            tasks.sort_by(|a, b| {
                (&a.service_name, a.slot, a.meta.created).cmp(&(&b.service_name, b.slot, b.meta.created))
            });
            Ok(ProjectDetail { summary: summary(tables, name), services, tasks, networks, volumes })
        })
    }

    /// One task, by its id or the beginning of it.
    pub fn task(&self, id: &str) -> Result<Task, ControlError> {
        self.inner.store.view(|tables| {
            let mut found = tables.tasks().iter().filter(|task| task.id.as_str().starts_with(id));
            match (found.next(), found.next()) {
                (Some(task), None) if !id.is_empty() => Ok((**task).clone()),
                (Some(_), Some(_)) => Err(ControlError::Conflict(format!("several tasks begin with {id}"))),
                _ => Err(ControlError::NoSuchTask(id.to_owned())),
            }
        })
    }

    /// Every change of every task, from now on.
    pub fn events(&self) -> EventStream {
        let (sender, receiver) = mpsc::channel(64);
        let (store, cancel) = (self.inner.store.clone(), self.inner.cancel.clone());
        let ((), mut watch) = store.watch(|_| ());
        self.inner.requests.spawn(async move {
            loop {
                let wake = tokio::select! {
                    () = cancel.cancelled() => return,
                    () = sender.closed() => return,
                    wake = watch.next() => wake,
                };
                let commits = match wake {
                    Wake::Commits(commits) => commits,
                    Wake::Resync => continue,
                    Wake::Closed => return,
                };
                let events: Vec<ProjectEvent> = commits
                    .iter()
                    .flat_map(|commit| &commit.events)
                    .filter_map(|event| event.of::<Task>()?.1.map(|task| task_event(task)))
                    .collect();
                for event in events {
                    if sender.send(event).await.is_err() {
                        return;
                    }
                }
            }
        });
        EventStream::new(receiver)
    }
}

fn summary(tables: &Tables, name: &str) -> ProjectSummary {
    let mut summary = ProjectSummary { name: name.to_owned(), ..ProjectSummary::default() };
    if let Some(origin) = tables.services().by(Index::Project, name).find_map(|service| service.spec.compose.as_ref()) {
        summary.working_dir.clone_from(&origin.working_dir);
        summary.config_files.clone_from(&origin.config_files);
    }
    // Of each container the newest task.
    let mut containers: BTreeMap<&str, &Task> = BTreeMap::new();
    for task in tables.tasks().by(Index::Project, name) {
        let newest = containers.entry(&task.name).or_insert(task);
        if (task.meta.created, task.meta.version) > (newest.meta.created, newest.meta.version) {
            *newest = task;
        }
    }
    for task in containers.values() {
        *summary.states.entry(word(task).to_owned()).or_default() += 1;
    }
    summary
}

/// The container's state in Docker's words.
fn word(task: &Task) -> &'static str {
    match task.status.state {
        TaskState::Running if task.status.health == Health::Unhealthy => "unhealthy",
        TaskState::Running => "running",
        state if state < TaskState::Running => "created",
        _ => "exited",
    }
}
