//! The loop: begins with everything, goes on with what changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hoist_proto::{
    clock::Timestamp,
    id::{ServiceId, TaskId},
    spec::{ClusterNetwork, ClusterVolume, Node, Service, Task},
};
use hoist_store::{Commit, Index, Store, StoreError, Tables, Wake};
use tokio_util::sync::CancellationToken;

use super::{Step, decide};
use crate::control::convert::PROJECT;

/// Which services the next pass looks at.
#[derive(Debug, Default)]
struct Dirty {
    everything: bool,
    services: BTreeSet<ServiceId>,
}

impl Dirty {
    fn note(&mut self, tables: &Tables, commit: &Commit) {
        for event in &commit.events {
            if let Some((before, after)) = event.of::<Task>() {
                if let Some(task) = after.or(before) {
                    self.service(tables, &task.service, &task.service_name);
                }
            } else if let Some((before, after)) = event.of::<Service>() {
                if let Some(service) = after.or(before) {
                    self.service(tables, &service.id, &service.spec.name);
                }
            } else if event.of::<Node>().is_some()
                || event.of::<ClusterNetwork>().is_some()
                || event.of::<ClusterVolume>().is_some()
            {
                self.everything = true;
            }
        }
    }

    /// A service, those that depend on it, and those that it depends on (they stop after it).
    fn service(&mut self, tables: &Tables, id: &ServiceId, name: &str) {
        self.services.insert(id.clone());
        for other in tables.services().iter() {
            if other.spec.depends_on.iter().any(|dependency| dependency.service == name) {
                self.services.insert(other.id.clone());
            }
        }
        if let Some(service) = tables.services().get(id) {
            for dependency in &service.spec.depends_on {
                if let Some(other) = tables.services().named(&dependency.service) {
                    self.services.insert(other.id.clone());
                }
            }
        } else {
            // It is gone, and what it depended on is not known any more.
            self.everything = true;
        }
    }
}

/// Runs until cancelled; an error is the store's.
pub(crate) async fn run(store: Store, cancel: CancellationToken) -> Result<(), StoreError> {
    let ((), mut watch) = store.watch(|_| ());
    let mut dirty = Dirty { everything: true, services: BTreeSet::new() };
    loop {
        let wake = pass(&store, std::mem::take(&mut dirty)).await?;
        let timer = sleep_until(store.clock().now(), wake);
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = timer => dirty.everything = true,
            woken = watch.next() => match woken {
                Wake::Commits(commits) => store.view(|tables| {
                    commits.iter().for_each(|commit| dirty.note(tables, commit));
                    // A pass over some must not lose the alarm that another service has set.
                    dirty.everything |= wake.is_some();
                }),
                Wake::Resync => dirty.everything = true,
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

/// One transaction over the dirty services; gives the moment to look again.
async fn pass(store: &Store, dirty: Dirty) -> Result<Option<Timestamp>, StoreError> {
    if !dirty.everything && dirty.services.is_empty() {
        return Ok(None);
    }
    let now = store.clock().now();
    let outcome = store
        .update(|tx| {
            let services: Vec<_> = tx
                .services()
                .iter()
                .filter(|service| dirty.everything || dirty.services.contains(&service.id))
                .cloned()
                .collect();
            let mut wake: Option<Timestamp> = None;
            for service in services {
                let decision = decide(tx, &service, now, &mut TaskId::random);
                for step in decision.steps {
                    tracing::debug!("{step}");
                    step.write(tx)?;
                }
                if let Some(at) = decision.wake {
                    wake = Some(wake.map_or(at, |earlier| earlier.min(at)));
                }
            }
            for step in unused(tx) {
                tracing::debug!("{step}");
                step.write(tx)?;
            }
            Ok::<_, StoreError>(wake)
        })
        .await;
    crate::patience::wait_for_log(outcome, "orchestrator").await.map(|done| done.unwrap_or(Some(now)))
}

/// One pass over everything.
#[cfg(test)]
pub(crate) async fn pass_over_all(store: &Store) -> Result<Option<Timestamp>, StoreError> {
    pass(store, Dirty { everything: true, services: BTreeSet::new() }).await
}

/// Records that nothing needs any more: networks and volumes that are to go, others' networks and
/// volumes that nobody uses, secrets and configs of projects that are gone.
pub(crate) fn unused(tables: &Tables) -> Vec<Step> {
    let mut steps = Vec::new();
    let specs = || {
        let services = tables.services().iter().map(|service| &service.spec.task);
        services.chain(tables.tasks().iter().map(|task| &task.spec))
    };
    for network in tables.networks().iter() {
        let held = tables.tasks().iter().any(|task| task.spec.networks.contains(&network.id));
        let foreign = network.external && !specs().any(|spec| spec.networks.contains(&network.id));
        if (network.removing && !held) || foreign {
            steps.push(Step::RemoveNetwork { network: network.id.clone(), name: network.spec.name.clone() });
        }
    }
    for volume in tables.volumes().iter() {
        let held = tables.tasks().iter().any(|task| task.spec.volumes.contains(&volume.id));
        let foreign = volume.external && !specs().any(|spec| spec.volumes.contains(&volume.id));
        if (volume.removing && !held) || foreign {
            steps.push(Step::RemoveVolume { volume: volume.id.clone(), name: volume.spec.name.clone() });
        }
    }
    let orphaned = |labels: &BTreeMap<String, String>| {
        labels.get(PROJECT).is_some_and(|project| {
            tables.services().by(Index::Project, project).next().is_none()
                && tables.tasks().by(Index::Project, project).next().is_none()
        })
    };
    for secret in tables.secrets().iter().filter(|secret| orphaned(&secret.labels)) {
        steps.push(Step::RemoveSecret { secret: secret.id.clone(), name: secret.name.clone() });
    }
    for config in tables.configs().iter().filter(|config| orphaned(&config.labels)) {
        steps.push(Step::RemoveConfig { config: config.id.clone(), name: config.name.clone() });
    }
    steps
}
