//! Jobs that do not use the devices that they have: warned, then ended, as their partition's rules say.

use std::{sync::Arc, time::Duration};

use hoist_proto::{
    clock::Timestamp,
    spec::{IdleAction, Job, JobState, PartitionSpec, Task},
};
use hoist_store::{StoreError, Tables, Tx};

use super::{settle::end, uses::Uses};

/// How long a job has after the warning, where the rules do not say.
const GRACE_MINUTES: u32 = 5;

/// What is to happen to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    /// It uses its devices, or nobody knows.
    Busy,
    Begins,
    Warn,
    Act,
}

/// Looks at a job that runs; gives the next moment at which something is to happen.
pub(super) fn look(
    tx: &mut Tx<'_>,
    job: &Arc<Job>,
    uses: &Uses,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let Some(partition) = partition_of(tx, job) else { return Ok(None) };
    let (Some(percent), Some(minutes)) = (partition.idle_percent, partition.idle_minutes) else { return Ok(None) };
    if job.status.leaving.is_some() {
        return Ok(None);
    }
    let tasks: Vec<Arc<Task>> = job.status.service.iter().flat_map(|service| tx.tasks_of(service)).cloned().collect();
    let rates: Vec<f64> = tasks.iter().filter_map(|task| uses.rate(&task.id)).collect();
    let rate = (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64);
    let grace = partition.idle_grace_minutes.unwrap_or(GRACE_MINUTES);
    let rule = format!("its devices worked less than {percent} % of the time for {minutes} minutes");
    match step(job, rate.is_some_and(|rate| rate < f64::from(percent)), now, minutes, grace) {
        Step::Nothing => {}
        Step::Busy => tx.modify::<Job>(&job.id, |job| {
            job.status.idle_since = None;
            if job.status.idle_warned.take().is_some() {
                job.status.reason = String::new();
            }
        })?,
        Step::Begins => tx.modify::<Job>(&job.id, |job| job.status.idle_since = Some(now))?,
        Step::Warn => {
            let then = match partition.idle_action {
                IdleAction::Warn => String::new(),
                IdleAction::End => format!(": it is ended in {grace} minutes unless it uses them"),
                IdleAction::Requeue => format!(": it waits again in {grace} minutes unless it uses them"),
            };
            if let Some(warning) = &job.spec.warning {
                for task in tasks.iter().filter(|task| !task.status.state.is_final()) {
                    tx.modify::<Task>(&task.id, |task| task.signal = Some(warning.signal.clone()))?;
                }
            }
            tx.modify::<Job>(&job.id, |job| {
                job.status.idle_warned = Some(now);
                job.status.reason = format!("{rule}{then}");
            })?;
        }
        Step::Act => match partition.idle_action {
            IdleAction::Warn => {}
            IdleAction::End => end(tx, job, JobState::Cancelled, rule)?,
            IdleAction::Requeue => end(tx, job, JobState::Pending, rule)?,
        },
    }
    let status = tx.jobs().get(&job.id).map(|job| (job.status.idle_warned, job.status.idle_since));
    let next = match status {
        Some((Some(warned), _)) => after(warned, grace),
        Some((None, Some(since))) => after(since, minutes),
        _ => None,
    };
    Ok(next.filter(|next| *next > now))
}

fn partition_of(tables: &Tables, job: &Job) -> Option<PartitionSpec> {
    let partitions = &tables.queue()?.spec.partitions;
    let named = |name: &String| partitions.iter().find(|partition| partition.name == *name);
    job.spec.partition.as_ref().map_or(partitions.first(), named).cloned()
}

fn after(from: Timestamp, minutes: u32) -> Option<Timestamp> {
    from.checked_add(Duration::from_secs(u64::from(minutes) * 60)).ok()
}

fn step(job: &Job, idle: bool, now: Timestamp, minutes: u32, grace: u32) -> Step {
    let due = |from: Timestamp, minutes| after(from, minutes).is_some_and(|at| at <= now);
    match (idle, job.status.idle_since, job.status.idle_warned) {
        (false, None, None) => Step::Nothing,
        (false, ..) => Step::Busy,
        (true, None, _) => Step::Begins,
        (true, Some(_), Some(warned)) if due(warned, grace) => Step::Act,
        (true, Some(since), None) if due(since, minutes) => Step::Warn,
        (true, ..) => Step::Nothing,
    }
}
