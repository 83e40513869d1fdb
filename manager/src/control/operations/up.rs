//! `up`, `create` and their plan.

use hoist_proto::{
    id::ServiceId,
    spec::{Plan, ProjectEvent, UpRequest},
};
use tokio::sync::mpsc;

use crate::control::{
    Control, ControlError, EventStream, devices,
    plan::{Planned, plan},
    watch::{Failure, Outcome, Watcher, all_gone, all_up, ready},
};

impl Control {
    /// What `up` would do, each step with its cause.
    pub async fn plan(&self, name: &str, request: UpRequest) -> Result<Plan, ControlError> {
        let prepared = self.prepare(name, request).await?;
        Ok(self.preview(&prepared)?.plan)
    }

    /// Brings a project up, and tells how it goes until all services run, are healthy or have ended
    /// as asked for, or one of them cannot.
    pub fn up(&self, name: &str, request: UpRequest) -> EventStream {
        let name = name.to_owned();
        self.request(|control, events| async move { control.run_up(&name, request, &events).await })
    }

    async fn run_up(&self, name: &str, request: UpRequest, events: &mpsc::Sender<ProjectEvent>) -> Result<(), Failure> {
        let mut prepared = self.prepare(name, request).await?;
        self.fetch(&mut prepared, events).await?;
        let mut watcher = self.watcher(events);
        let planned: Planned = self
            .inner
            .store
            .update(|tx| {
                let mut planned = plan(tx, &prepared.desired, &prepared.options, &prepared.known)?;
                let writes = std::mem::take(&mut planned.writes);
                for service in &writes.services {
                    let before = tx.services().get(&service.id).map(|there| &there.spec);
                    devices::check(tx, &service.spec, before)?;
                }
                writes.write(tx)?;
                Ok::<_, ControlError>(planned)
            })
            .await?;
        let removed = planned.removed.iter().cloned().collect();
        watcher.know(planned.services.iter().chain(&planned.removed).cloned());
        watcher.know_resources(name);
        for message in planned.plan.warnings.clone() {
            let _ = events.send(ProjectEvent::Warning { message }).await;
        }
        let _ = events.send(ProjectEvent::Plan { steps: planned.plan.steps }).await;
        let services = planned.services;
        let (healthy, limit) = (prepared.options.wait, prepared.options.wait_timeout);
        self.watch_up(&mut watcher, &services, healthy, limit).await?;
        watcher.until(|tables, _| all_gone(tables, &removed)).await?;
        self.tell_ready(&services, events).await;
        Ok(())
    }

    /// Watches until all is up, or the time is over.
    pub(super) async fn watch_up(
        &self,
        watcher: &mut Watcher,
        services: &[ServiceId],
        healthy: bool,
        limit: Option<std::time::Duration>,
    ) -> Result<(), Failure> {
        let mut missing = String::new();
        let limit = limit.filter(|_| healthy);
        let watching = watcher.until(|tables, _| {
            let outcome = all_up(tables, services, healthy);
            if let Outcome::Pending(what) = &outcome {
                missing.clone_from(what);
            }
            outcome
        });
        let outcome = match limit {
            None => watching.await,
            Some(limit) => match tokio::time::timeout(limit, watching).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    let limit = hoist_proto::unit::format_duration(limit);
                    Err(Failure(format!("not everything is up after {limit}: {missing}")))
                }
            },
        };
        watcher.flush().await;
        outcome
    }

    pub(super) async fn tell_ready(&self, services: &[ServiceId], events: &mpsc::Sender<ProjectEvent>) {
        let services = self.inner.store.view(|tables| ready(tables, services));
        let _ = events.send(ProjectEvent::Ready { services }).await;
    }
}
