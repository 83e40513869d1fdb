//! `down`: containers in reverse order of dependency, then networks, and volumes when asked.

use std::{collections::BTreeSet, time::Duration};

use hoist_proto::{
    id::ServiceId,
    spec::{ClusterNetwork, ClusterVolume, DownOptions, ImageRemoval, Lifecycle, NodeState, ProjectEvent, Service},
};
use hoist_store::{Index, Tx};
use tokio::sync::mpsc;

use super::lifecycle::chosen;
use crate::control::{
    Control, ControlError, EventStream,
    convert::pre_start,
    watch::{Failure, Outcome, all_gone},
};

/// How long agents get to say that networks and volumes are gone, once their records are.
const ACKNOWLEDGED: Duration = Duration::from_secs(30);

/// What is on its way out.
#[derive(Debug, Default)]
struct Going {
    services: BTreeSet<ServiceId>,
    /// `Network NAME`, `Volume NAME`: what agents will say is removed.
    resources: Vec<String>,
    images: Vec<String>,
}

impl Control {
    /// Stops and removes a project's containers and networks, and what else was asked for.
    pub fn down(&self, name: &str, options: DownOptions) -> EventStream {
        let name = name.to_owned();
        self.request(|control, events| async move { control.run_down(&name, options, &events).await })
    }

    async fn run_down(
        &self,
        name: &str,
        options: DownOptions,
        events: &mpsc::Sender<ProjectEvent>,
    ) -> Result<(), Failure> {
        let mut watcher = self.watcher(events);
        let outcome = self.inner.store.update(|tx| mark(tx, name, &options)).await;
        let going = match outcome {
            Err(ControlError::NoSuchProject(_)) => {
                let message = format!("no resource found to remove for project {name:?}");
                let _ = events.send(ProjectEvent::Warning { message }).await;
                return Ok(());
            }
            other => other?,
        };
        watcher.know(going.services.iter().cloned());
        watcher.know_resources(name);
        watcher.until(|tables, _| all_gone(tables, &going.services)).await?;
        let acknowledged = watcher.until(|tables, removed| {
            let up = tables.nodes().iter().any(|node| node.status.state == NodeState::Ready);
            let missing = going.resources.iter().find(|resource| up && !removed.contains(*resource));
            missing.map_or(Outcome::Done, |resource| Outcome::Pending(resource.clone()))
        });
        match tokio::time::timeout(ACKNOWLEDGED, acknowledged).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(Failure("networks and volumes are still being removed".into())),
        }
        for image in &going.images {
            self.remove_image(image, events).await;
        }
        Ok(())
    }

    async fn remove_image(&self, image: &str, events: &mpsc::Sender<ProjectEvent>) {
        let line = |state: &str, error| ProjectEvent::Resource {
            resource: format!("Image {image}"),
            state: state.to_owned(),
            error,
        };
        let event = match self.inner.images.remove(image).await {
            Ok(true) => line("Removed", None),
            Ok(false) => return,
            // Another project may use it; that is no failure of this one's end.
            Err(error) => line("Kept", Some(error)),
        };
        let _ = events.send(event).await;
    }
}

/// Marks what goes, in one transaction.
fn mark(tx: &mut Tx<'_>, project: &str, options: &DownOptions) -> Result<Going, ControlError> {
    let mut going = Going::default();
    let networks: Vec<_> = tx.networks().by(Index::Project, project).cloned().collect();
    let volumes: Vec<_> = tx.volumes().by(Index::Project, project).cloned().collect();
    let services = match chosen(tx, project, &options.services) {
        // Volumes that an earlier `down` has left are a project too.
        Err(ControlError::NoSuchProject(_)) if !networks.is_empty() || (options.volumes && !volumes.is_empty()) => {
            Vec::new()
        }
        other => other?,
    };
    let key =
        |service: &Service| service.spec.compose.as_ref().map(|origin| origin.service.clone()).unwrap_or_default();
    let is_orphan = |service: &Service| {
        let name = pre_start::owner(service).cloned().unwrap_or_else(|| key(service));
        options.known.as_ref().is_some_and(|known| !known.contains(&name))
    };
    let (staying, leaving): (Vec<_>, Vec<_>) =
        services.into_iter().partition(|service| is_orphan(service) && !options.remove_orphans);
    // An earlier `down` that was cut off is finished by this one.
    let unfinished: Vec<_> = tx
        .services()
        .by(Index::Project, project)
        .filter(|service| service.spec.lifecycle == Lifecycle::Removed)
        .map(|service| service.id.clone())
        .collect();
    going.services.extend(unfinished);
    for service in &leaving {
        going.services.insert(service.id.clone());
        match options.images {
            Some(ImageRemoval::All) => going.images.push(service.spec.task.container.image.clone()),
            Some(ImageRemoval::Local) if service.spec.task.container.image == format!("{project}-{}", key(service)) => {
                going.images.push(service.spec.task.container.image.clone());
            }
            _ => {}
        }
        tx.modify::<Service>(&service.id, |service| {
            service.spec.lifecycle = Lifecycle::Removed;
            service.spec.stop_timeout = options.timeout;
            service.spec.remove_volumes = options.volumes;
        })?;
    }
    going.images.sort();
    going.images.dedup();
    if !options.services.is_empty() {
        return Ok(going);
    }
    for network in networks.iter().filter(|network| !staying.iter().any(|s| s.spec.task.networks.contains(&network.id)))
    {
        going.resources.push(format!("Network {}", network.spec.name));
        tx.modify::<ClusterNetwork>(&network.id, |network| network.removing = true)?;
    }
    let staying_volume = |id| staying.iter().any(|service| service.spec.task.volumes.contains(id));
    for volume in volumes.iter().filter(|volume| !staying_volume(&volume.id)) {
        if options.volumes {
            going.resources.push(format!("Volume {}", volume.spec.name));
            tx.modify::<ClusterVolume>(&volume.id, |volume| volume.removing = true)?;
        }
    }
    Ok(going)
}
