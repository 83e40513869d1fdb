//! The loop: begins with everything, goes on with what changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use hoist_proto::{
    clock::Timestamp,
    id::{NetworkId, NodeId, ServiceId, TaskId, VolumeId},
    spec::{
        ClusterNetwork, ClusterVolume, FileContent, Lifecycle, Node, Service, ServiceMode, Task, TaskSpec, TaskState,
        UpdateConfig, UpdateOrder, UpdateState,
    },
};
use hoist_store::{Commit, Index, Store, StoreError, Tables, Wake};
use tokio_util::sync::CancellationToken;

use super::{
    Step, decide,
    decide::{displaced, is_lost},
};
use crate::control::{REPLACED, convert::PROJECT};

/// The most steps of one transaction: what a change of everything asks for does not fit into one entry of the log.
const BATCH: usize = 2000;

/// Which services the next pass looks at.
#[derive(Debug, Default)]
struct Dirty {
    everything: bool,
    services: BTreeSet<ServiceId>,
    /// Something may have lost its last user.
    unused: bool,
}

/// What the loop keeps between passes, so that the cost of a change grows with the change.
#[derive(Debug, Default)]
struct Memory {
    /// By the name of a service: those that depend on it.
    dependents: BTreeMap<String, BTreeSet<ServiceId>>,
    /// Services that want to be looked at again though nothing may have happened.
    alarms: BTreeMap<ServiceId, Timestamp>,
}

impl Memory {
    fn of(tables: &Tables) -> Self {
        let mut memory = Self::default();
        tables.services().iter().for_each(|service| memory.learn(service));
        memory
    }

    fn learn(&mut self, service: &Service) {
        for dependency in &service.spec.depends_on {
            self.dependents.entry(dependency.service.clone()).or_default().insert(service.id.clone());
        }
    }

    fn forget(&mut self, service: &Service) {
        for dependency in &service.spec.depends_on {
            if let Some(dependents) = self.dependents.get_mut(&dependency.service) {
                dependents.remove(&service.id);
                if dependents.is_empty() {
                    self.dependents.remove(&dependency.service);
                }
            }
        }
    }

    /// When the first alarm goes off.
    fn next(&self) -> Option<Timestamp> {
        self.alarms.values().min().copied()
    }
}

impl Dirty {
    fn everything() -> Self {
        Self { everything: true, services: BTreeSet::new(), unused: true }
    }

    fn note(&mut self, memory: &mut Memory, tables: &Tables, commit: &Commit) {
        for event in &commit.events {
            if let Some((before, after)) = event.of::<Task>() {
                self.unused |= after.is_none();
                if before.zip(after).is_some_and(|(before, after)| is_routine(memory, tables, before, after)) {
                    continue;
                }
                if let Some(task) = after.or(before) {
                    self.service(memory, tables, &task.service, &task.service_name);
                }
            } else if let Some((before, after)) = event.of::<Service>() {
                self.unused = true;
                if let Some(service) = before {
                    memory.forget(service);
                    self.dependencies(tables, service);
                }
                if let Some(service) = after {
                    memory.learn(service);
                }
                if let Some(service) = after.or(before) {
                    self.service(memory, tables, &service.id, &service.spec.name);
                }
            } else if let Some((before, after)) = event.of::<Node>() {
                if let Some(node) = after.or(before) {
                    self.node(tables, &node.id);
                }
            } else if event.of::<ClusterNetwork>().is_some() || event.of::<ClusterVolume>().is_some() {
                self.unused = true;
            }
        }
    }

    /// A service, those that depend on it, and those that it depends on (they stop after it).
    fn service(&mut self, memory: &Memory, tables: &Tables, id: &ServiceId, name: &str) {
        self.services.insert(id.clone());
        self.services.extend(memory.dependents.get(name).into_iter().flatten().cloned());
        if let Some(service) = tables.services().get(id) {
            self.dependencies(tables, service);
        }
    }

    fn dependencies(&mut self, tables: &Tables, service: &Service) {
        let names = service.spec.depends_on.iter().map(|dependency| &dependency.service);
        self.services.extend(names.filter_map(|name| tables.services().named(name)).map(|other| other.id.clone()));
    }

    /// The services that have tasks on a node, and those that want one on every node.
    fn node(&mut self, tables: &Tables, id: &NodeId) {
        self.services.extend(tables.tasks_on(id).map(|task| task.service.clone()));
        let global =
            |service: &&Arc<Service>| matches!(service.spec.mode, ServiceMode::Global | ServiceMode::GlobalJob);
        self.services.extend(tables.services().iter().filter(global).map(|service| service.id.clone()));
    }
}

/// Whether a task has only come further on its way, so that nothing follows from it: most of what happens to tasks.
fn is_routine(memory: &Memory, tables: &Tables, before: &Task, after: &Task) -> bool {
    let (from, to) = (before.status.state, after.status.state);
    let onward = from <= to && to <= TaskState::Running;
    if !onward || before.desired != after.desired || !Arc::ptr_eq(&before.spec, &after.spec) {
        return false;
    }
    let Some(service) = tables.services().get(&after.service) else { return false };
    // A node may have gone, or have been drained, in the moment in which the task came to it.
    let came = before.node != after.node;
    if came && (is_lost(tables, after) || displaced(tables, service, after).is_some()) {
        return false;
    }
    to < TaskState::Running || is_settled(memory, service, after)
}

/// Whether nobody waits for the tasks of a service to run: no update, no successor, no other service.
fn is_settled(memory: &Memory, service: &Service, task: &Task) -> bool {
    let spec = &service.spec;
    let start_first = |config: &UpdateConfig| config.order == UpdateOrder::StartFirst;
    spec.lifecycle == Lifecycle::Running
        && matches!(spec.mode, ServiceMode::Replicated { .. } | ServiceMode::Global)
        && task.spec_hash == service.spec_hash
        && service.update.as_ref().is_none_or(|update| update.state == UpdateState::Completed)
        && !spec.update.iter().chain(&spec.rollback).any(start_first)
        && !memory.dependents.contains_key(&spec.name)
}

/// Runs until cancelled; an error is the store's.
pub(crate) async fn run(store: Store, cancel: CancellationToken) -> Result<(), StoreError> {
    let (mut memory, mut watch) = store.watch(Memory::of);
    let mut dirty = Dirty::everything();
    loop {
        let retry = match pass(&store, std::mem::take(&mut dirty), &mut memory).await? {
            Pass::Done { later } if !later.is_empty() => {
                dirty.services = later;
                continue;
            }
            Pass::Done { .. } => None,
            Pass::Failed(at) => Some(at),
        };
        if cancel.is_cancelled() {
            return Ok(());
        }
        let timer = sleep_until(store.clock().now(), retry.or(memory.next()));
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            () = timer => match retry {
                Some(_) => dirty = Dirty::everything(),
                None => {
                    let now = store.clock().now();
                    let due = memory.alarms.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone());
                    dirty.services.extend(due);
                }
            },
            woken = watch.next() => match woken {
                Wake::Commits(commits) => store.view(|tables| {
                    commits.iter().for_each(|commit| dirty.note(&mut memory, tables, commit));
                    if retry.is_some() {
                        dirty = Dirty::everything();
                    }
                }),
                Wake::Resync => {
                    memory = store.view(Memory::of);
                    dirty = Dirty::everything();
                }
                Wake::Closed => return Ok(()),
            },
        }
    }
}

async fn sleep_until(now: Timestamp, wake: Option<Timestamp>) {
    match wake {
        Some(at) => {
            let wait = Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
            tokio::time::sleep(wait).await;
        }
        None => std::future::pending().await,
    }
}

/// How a pass went.
#[derive(Debug)]
enum Pass {
    /// With services that there was no room for.
    Done { later: BTreeSet<ServiceId> },
    /// The log could not be written; all is to be tried again.
    Failed(Timestamp),
}

/// One transaction over the dirty services.
async fn pass(store: &Store, dirty: Dirty, memory: &mut Memory) -> Result<Pass, StoreError> {
    if !dirty.everything && dirty.services.is_empty() && !dirty.unused {
        return Ok(Pass::Done { later: BTreeSet::new() });
    }
    let now = store.clock().now();
    let outcome = store
        .update(|tx| {
            let services: Vec<_> = if dirty.everything {
                tx.services().iter().cloned().collect()
            } else {
                dirty.services.iter().filter_map(|id| tx.services().get(id)).cloned().collect()
            };
            let mut alarms = Vec::new();
            let (mut left, mut later) = (BATCH, BTreeSet::new());
            for service in services {
                if left == 0 {
                    later.insert(service.id.clone());
                    continue;
                }
                let decision = decide(tx, &service, now, &mut TaskId::random);
                if decision.steps.len() > left {
                    // Deciding again from what is there then comes to the rest.
                    later.insert(service.id.clone());
                }
                for step in decision.steps.into_iter().take(left) {
                    tracing::debug!("{step}");
                    step.write(tx)?;
                    left -= 1;
                }
                alarms.push((service.id.clone(), decision.wake));
            }
            if dirty.unused {
                for step in unused(tx) {
                    tracing::debug!("{step}");
                    step.write(tx)?;
                }
            }
            Ok::<_, StoreError>((alarms, later))
        })
        .await;
    let Some((alarms, later)) = crate::patience::wait_for_log(outcome, "orchestrator").await? else {
        return Ok(Pass::Failed(now));
    };
    if dirty.everything {
        memory.alarms.clear();
    }
    for id in &dirty.services {
        memory.alarms.remove(id);
    }
    memory.alarms.extend(alarms.into_iter().filter_map(|(id, at)| Some((id, at?))));
    Ok(Pass::Done { later })
}

/// One pass over everything; gives the moment of the first alarm.
#[cfg(test)]
pub(crate) async fn pass_over_all(store: &Store) -> Result<Option<Timestamp>, StoreError> {
    let mut memory = Memory::default();
    pass(store, Dirty::everything(), &mut memory).await?;
    Ok(memory.next())
}

/// Records that nothing needs any more: networks and volumes that are to go, others' networks and
/// volumes that nobody uses, secrets and configs of projects that are gone or that others have replaced.
pub(crate) fn unused(tables: &Tables) -> Vec<Step> {
    let mut steps = Vec::new();
    let networks: Vec<_> = tables.networks().iter().filter(|network| network.removing || network.external).collect();
    let volumes: Vec<_> = tables.volumes().iter().filter(|volume| volume.removing || volume.external).collect();
    if !networks.is_empty() || !volumes.is_empty() {
        let held = Held::of(tables);
        for network in networks {
            let in_use = held.networks.contains(&network.id);
            let named = || tables.services().iter().any(|service| service.spec.task.networks.contains(&network.id));
            if !in_use && (network.removing || !named()) {
                steps.push(Step::RemoveNetwork { network: network.id.clone(), name: network.spec.name.clone() });
            }
        }
        for volume in volumes {
            let in_use = held.volumes.contains(&volume.id);
            let named = || tables.services().iter().any(|service| service.spec.task.volumes.contains(&volume.id));
            if !in_use && (volume.removing || !named()) {
                steps.push(Step::RemoveVolume { volume: volume.id.clone(), name: volume.spec.name.clone() });
            }
        }
    }
    let orphaned = |labels: &BTreeMap<String, String>| {
        labels.get(PROJECT).is_some_and(|project| {
            tables.services().by(Index::Project, project).next().is_none()
                && tables.tasks().by(Index::Project, project).next().is_none()
        })
    };
    let replaced =
        |labels: &BTreeMap<String, String>, id: &str| labels.contains_key(REPLACED) && !is_file_used(tables, id);
    for secret in tables.secrets().iter() {
        if orphaned(&secret.labels) || replaced(&secret.labels, secret.id.as_str()) {
            steps.push(Step::RemoveSecret { secret: secret.id.clone(), name: secret.name.clone() });
        }
    }
    for config in tables.configs().iter() {
        if orphaned(&config.labels) || replaced(&config.labels, config.id.as_str()) {
            steps.push(Step::RemoveConfig { config: config.id.clone(), name: config.name.clone() });
        }
    }
    steps
}

/// What tasks hold.
#[derive(Default)]
struct Held {
    networks: BTreeSet<NetworkId>,
    volumes: BTreeSet<VolumeId>,
}

impl Held {
    fn of(tables: &Tables) -> Self {
        let mut held = Self::default();
        for task in tables.tasks().iter() {
            held.networks.extend(task.spec.networks.iter().cloned());
            held.volumes.extend(task.spec.volumes.iter().cloned());
        }
        held
    }
}

/// Whether a service, what it can be rolled back to, or a task has this secret or config.
fn is_file_used(tables: &Tables, id: &str) -> bool {
    let has = |spec: &TaskSpec| {
        spec.container.files.iter().any(|file| matches!(&file.content, FileContent::Stored(used) if used == id))
    };
    let services = || tables.services().iter().map(|service| (&service.spec.task, service.previous.as_deref()));
    services().any(|(now, before)| has(now) || before.is_some_and(|before| has(&before.task)))
        || tables.tasks().iter().any(|task| has(&task.spec))
}
