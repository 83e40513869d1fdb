//! Jobs that come again and again: set, listed, paused, taken away.

use std::collections::BTreeMap;

use hoist_proto::spec::{Caller, Cron, CronSpec, Queue};
use hoist_store::Tx;

use super::{
    Control, ControlError,
    jobs::{check, is_admin, owner, queue},
};
use crate::queue::read_schedule;

impl Control {
    /// Sets a job that comes again and again; gives its name.
    ///
    /// # Errors
    /// For schedules, zones and jobs that make no sense, and for names that are taken.
    pub async fn add_cron(&self, caller: Caller, spec: CronSpec) -> Result<String, ControlError> {
        let (schedule, zone) = read_schedule(&spec.schedule, &spec.zone).map_err(ControlError::invalid)?;
        let name = spec.request.spec.name.clone();
        if name.is_empty() {
            return Err(ControlError::invalid("a job that comes again and again needs a name"));
        }
        self.inner
            .store
            .update(|tx| {
                let user = owner(tx, &caller, spec.request.user.as_deref())?;
                // What could never run is refused now, not in the night.
                check(tx, &mut spec.request.spec.clone(), &user)?;
                let (queue, now) = (queue(tx)?, tx.now());
                if let Some(known) = queue.crons.get(&name) {
                    return Err(ControlError::Conflict(format!(
                        "{}'s cron {name:?} is there already: give another --name, or hoist job cron rm {name}",
                        known.user
                    )));
                }
                let cron = Cron {
                    spec: spec.clone(),
                    user,
                    uid: caller.uid,
                    paused: false,
                    created: now,
                    next: schedule.after(now, &zone),
                    last: None,
                    last_job: None,
                    missed: 0,
                    problem: String::new(),
                };
                tx.modify::<Queue>(&queue.id, |queue| {
                    queue.crons.insert(name.clone(), cron);
                })?;
                Ok(())
            })
            .await?;
        Ok(name)
    }

    /// All of them, by name.
    pub fn crons(&self) -> BTreeMap<String, Cron> {
        self.inner.store.view(|tables| tables.queue().map(|queue| queue.crons.clone()).unwrap_or_default())
    }

    /// Makes no more jobs for a time, or makes them again: from now on, none for the time between.
    pub async fn pause_cron(&self, caller: Caller, name: &str, paused: bool) -> Result<(), ControlError> {
        self.change_cron(caller, name, |tx, queue, name, cron| {
            let now = tx.now();
            let next = match read_schedule(&cron.spec.schedule, &cron.spec.zone) {
                Ok((schedule, zone)) if !paused => schedule.after(now, &zone),
                _ => None,
            };
            tx.modify::<Queue>(&queue.id, |queue| {
                if let Some(cron) = queue.crons.get_mut(name) {
                    (cron.paused, cron.next) = (paused, next);
                }
            })?;
            Ok(())
        })
        .await
    }

    /// Takes one away; the jobs that it has made stay.
    pub async fn remove_cron(&self, caller: Caller, name: &str) -> Result<(), ControlError> {
        self.change_cron(caller, name, |tx, queue, name, _| {
            tx.modify::<Queue>(&queue.id, |queue| {
                queue.crons.remove(name);
            })?;
            Ok(())
        })
        .await
    }

    async fn change_cron(
        &self,
        caller: Caller,
        name: &str,
        change: impl Fn(&mut Tx<'_>, &Queue, &str, &Cron) -> Result<(), ControlError>,
    ) -> Result<(), ControlError> {
        self.inner
            .store
            .update(|tx| {
                let queue = queue(tx)?;
                let Some(cron) = queue.crons.get(name) else { return Err(ControlError::NoSuchCron(name.to_owned())) };
                if !is_admin(tx, &caller) && caller.user != cron.user {
                    return Err(ControlError::Forbidden(format!("cron {name} is {}'s", cron.user)));
                }
                change(tx, &queue, name, cron)
            })
            .await
    }
}
