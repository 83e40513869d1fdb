//! Jobs that come again and again: made when their time has come, once, whoever leads then.

use hoist_proto::{
    clock::Timestamp,
    spec::{Caller, Cron, Queue},
};
use hoist_store::{StoreError, Tx};
use jiff::tz::TimeZone;

use super::cron::Schedule;
use crate::control::make_jobs;

/// The label of a job that was made so; its value is the name.
pub(crate) const CRON: &str = "hoist.cron";
/// A job that is made so late is one of a moment that was missed.
const LATE: std::time::Duration = std::time::Duration::from_secs(90);
/// No more missed moments than these are counted at once.
const COUNTED: u64 = 10_000;

/// The schedule and the zone of a cron.
///
/// # Errors
/// What is wrong with them, in words.
pub(crate) fn read(schedule: &str, zone: &str) -> Result<(Schedule, TimeZone), String> {
    let parsed = schedule.parse::<Schedule>().map_err(|error| error.to_string())?;
    let zone = if zone.is_empty() { Ok(TimeZone::UTC) } else { TimeZone::get(zone) };
    Ok((parsed, zone.map_err(|error| format!("no such time zone: {error}"))?))
}

/// Makes the jobs whose moment has come; gives the next such moment.
pub(super) fn make_due(tx: &mut Tx<'_>, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let Some(queue) = tx.queue().filter(|queue| !queue.crons.is_empty()).cloned() else { return Ok(None) };
    for (name, cron) in &queue.crons {
        if cron.next.is_some_and(|next| next <= now) {
            let changed = make(tx, name, cron.clone(), now);
            tx.modify::<Queue>(&queue.id, |queue| {
                queue.crons.insert(name.clone(), changed);
            })?;
        }
    }
    let crons = tx.queue().map(|queue| queue.crons.clone()).unwrap_or_default();
    Ok(crons.values().filter_map(|cron| cron.next).min())
}

/// One whose moment has come; gives what it is from now on.
fn make(tx: &mut Tx<'_>, name: &str, mut cron: Cron, now: Timestamp) -> Cron {
    let Ok((schedule, zone)) = read(&cron.spec.schedule, &cron.spec.zone) else {
        // It was read when it was written; a zone may have gone from this machine.
        cron.problem = format!("its schedule cannot be read here: {} {}", cron.spec.schedule, cron.spec.zone);
        cron.next = now.checked_add(LATE).ok();
        return cron;
    };
    let Some(due) = cron.next else { return cron };
    // Of several moments that have gone by only the last one counts.
    let (mut last, mut passed) = (due, 0);
    while let Some(next) = schedule.after(last, &zone).filter(|next| *next <= now && passed < COUNTED) {
        (last, passed) = (next, passed + 1);
    }
    cron.next = schedule.after(now.max(last), &zone);
    cron.missed += passed;
    let late = last.checked_add(LATE).is_ok_and(|bound| bound < now);
    let open = |number: &u64| tx.jobs().iter().any(|job| job.number == *number && !job.status.state.is_final());
    let still = cron.last_job.filter(open);
    let refused = if late && !cron.spec.catch_up {
        Some(format!("nobody was there at {last}"))
    } else {
        still.filter(|_| cron.spec.no_overlap).map(|job| format!("job {job} had not ended at {last}"))
    };
    if let Some(why) = refused {
        cron.missed += 1;
        cron.problem = why;
        return cron;
    }
    let mut request = cron.spec.request.clone();
    request.spec.labels.insert(CRON.into(), name.to_owned());
    let caller = Caller { user: cron.user.clone(), uid: cron.uid };
    match make_jobs(tx, &caller, &request) {
        Ok(made) => {
            (cron.last, cron.last_job) = (Some(now), Some(made.number));
            cron.problem.clear();
        }
        Err(error) => {
            cron.missed += 1;
            cron.problem = error.to_string();
        }
    }
    cron
}
