//! What jobs use, counted by account and day.

use hoist_proto::{
    clock::Timestamp,
    spec::{DeviceUse, Fading, Job, Queue, UsageRow},
};
use hoist_queue::Usage;

use super::{machines::devices_of, view::millis};

/// What a job has used since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) device_millis: u64,
    pub(crate) cpu_millis: u64,
}

/// What a job has used up to `now`, or to its end. A clock that goes back takes nothing away.
pub(crate) fn usage_of(job: &Job, now: Timestamp) -> Used {
    let Some(started) = job.status.started else { return Used::default() };
    let span = millis(job.status.ended.unwrap_or(now)).saturating_sub(millis(started));
    let tasks = u64::from(job.spec.tasks.max(1));
    let devices = devices_of(&job.spec.each) * tasks as f64;
    Used {
        device_millis: (span as f64 * devices).round() as u64,
        cpu_millis: span.saturating_mul(job.spec.each.nano_cpus.saturating_mul(tasks)) / 1_000_000_000,
    }
}

/// Adds an attempt that has ended to the account's rows.
/// `measured` is what it made of its devices; a job is counted with its last attempt.
pub(crate) fn count(queue: &mut Queue, job: &Job, now: Timestamp, measured: DeviceUse, last: bool) {
    let jobs = u64::from(last);
    let used = usage_of(job, now);
    let (user, project) = (job.user.clone(), job.spec.project.clone());
    let day = now.strftime("%Y-%m-%d").to_string();
    let found = queue.used.iter_mut().find(|row| row.day == day && row.user == user && row.project == project);
    match found {
        Some(row) => {
            row.jobs += jobs;
            row.device_millis += used.device_millis;
            row.cpu_millis += used.cpu_millis;
            row.used.add(&measured);
        }
        None => queue.used.push(UsageRow {
            day,
            user: user.clone(),
            project: project.clone(),
            jobs,
            device_millis: used.device_millis,
            cpu_millis: used.cpu_millis,
            used: measured,
        }),
    }
    let half_life = u64::from(queue.spec.half_life_hours) * 3_600_000;
    // Jobs without devices count a little, so that they take turns too.
    let amount = used.device_millis as f64 + used.cpu_millis as f64 / 32.0;
    let found = queue.fading.iter_mut().find(|row| row.user == user && row.project == project);
    let mut usage = found.as_ref().map_or(Usage::default(), |row| Usage { amount: row.amount, at: row.at });
    usage.add(amount, millis(now), half_life);
    match found {
        Some(row) => (row.amount, row.at) = (usage.amount, usage.at),
        None => queue.fading.push(Fading { user, project, amount: usage.amount, at: usage.at }),
    }
}
