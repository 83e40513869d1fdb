//! Jobs that run: how they have ended, and whether their time is up.

use std::sync::Arc;

use hoist_proto::{
    clock::Timestamp,
    spec::{ClusterNetwork, DeviceUse, Job, JobState, Lifecycle, NodeState, Queue, Service, Task, TaskState},
};
use hoist_scheduler::faulty_device;
use hoist_store::{StoreError, Tables, Tx};

use super::{account, begin::JOB, checkpoint, idle, uses::Uses, view};

/// Looks at every job that has not ended; gives the next moment at which one's time is up.
pub(crate) fn settle(tx: &mut Tx<'_>, now: Timestamp, uses: &Uses) -> Result<Option<Timestamp>, StoreError> {
    let open: Vec<Arc<Job>> = tx.jobs().iter().filter(|job| !job.status.state.is_final()).cloned().collect();
    let ended = view::Ended::of(tx);
    let mut wake: Option<Timestamp> = None;
    let mut alarm = |at: Timestamp| wake = Some(wake.map_or(at, |known: Timestamp| known.min(at)));
    for job in open {
        if job.status.state == JobState::Running {
            running(tx, &job, now, uses, &mut alarm)?;
        } else if let Some(deadline) = job.spec.deadline.filter(|deadline| *deadline <= now) {
            let reason = format!("its deadline passed at {deadline} before it could start");
            close(tx, &job, JobState::TimedOut, reason, None, now)?;
        } else if let Some(missed) = job.spec.depends.iter().find(|needed| ended.missed(needed.job, needed.when)) {
            let reason = format!("job {} did not end as this one needs it", missed.job);
            close(tx, &job, JobState::Cancelled, reason, None, now)?;
        } else {
            [job.spec.deadline, job.spec.begin.filter(|begin| *begin > now)].into_iter().flatten().for_each(&mut alarm);
        }
    }
    forget_old(tx, now)?;
    Ok(wake)
}

fn running(
    tx: &mut Tx<'_>,
    job: &Arc<Job>,
    now: Timestamp,
    uses: &Uses,
    alarm: &mut impl FnMut(Timestamp),
) -> Result<(), StoreError> {
    match outcome(tx, job) {
        Outcome::Runs => {}
        // Whatever ends one task of a gang ends all of them, before the job is said to have ended.
        Outcome::Broken(into, reason) if job.status.leaving.is_none() => return end(tx, job, into, reason),
        Outcome::Broken(..) => return Ok(()),
        Outcome::Over { into, code, reason } => {
            let used = used_by(tx, job, uses);
            return over(tx, job, Ended { into, code, reason, used }, now);
        }
    }
    checkpoint::tell(tx, job)?;
    idle::look(tx, job, uses, now)?.into_iter().for_each(&mut *alarm);
    let limit = job.status.started.zip(job.spec.time_limit).and_then(|(from, limit)| from.checked_add(limit).ok());
    match limit {
        Some(limit) if limit > now => {
            alarm(limit);
            warn(tx, job, limit, now, alarm)?;
        }
        Some(_) if job.status.leaving.is_none() => {
            let limit = job.spec.time_limit.unwrap_or_default();
            end(tx, job, JobState::TimedOut, format!("its time limit of {} is up", words(limit)))?;
        }
        _ => {}
    }
    Ok(())
}

/// What an attempt has made of its devices.
fn used_by(tables: &Tables, job: &Job, uses: &Uses) -> DeviceUse {
    let mut used = DeviceUse::default();
    for task in job.status.service.iter().flat_map(|service| tables.tasks_of(service)) {
        used.add(&uses.of(&task.id));
    }
    used
}

/// Gives the tasks the signal that comes before the time limit, when it is time for that.
fn warn(
    tx: &mut Tx<'_>,
    job: &Arc<Job>,
    limit: Timestamp,
    now: Timestamp,
    alarm: &mut impl FnMut(Timestamp),
) -> Result<(), StoreError> {
    let Some(warning) = job.spec.warning.as_ref().filter(|_| !job.status.warned && job.status.leaving.is_none()) else {
        return Ok(());
    };
    let at = limit.checked_sub(warning.before).unwrap_or(now);
    if at > now {
        alarm(at);
        return Ok(());
    }
    let tasks: Vec<_> = job.status.service.iter().flat_map(|service| tx.tasks_of(service)).cloned().collect();
    for task in tasks.iter().filter(|task| !task.status.state.is_final()) {
        tx.modify::<Task>(&task.id, |task| task.signal = Some(warning.signal.clone()))?;
    }
    tx.modify::<Job>(&job.id, |job| job.status.warned = true)
}

fn words(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

enum Outcome {
    Runs,
    /// One task is lost or has failed, and others still run.
    Broken(JobState, String),
    /// Nothing runs any more.
    Over {
        into: JobState,
        code: Option<i32>,
        reason: String,
    },
}

/// What is the matter with one task: what the job becomes by it, and why.
type Trouble = (JobState, Option<i32>, String);

fn outcome(tables: &Tables, job: &Job) -> Outcome {
    let tasks: Vec<&Arc<Task>> = job.status.service.iter().flat_map(|service| tables.tasks_of(service)).collect();
    if tasks.is_empty() {
        return Outcome::Over { into: JobState::Failed, code: None, reason: "its tasks are gone".into() };
    }
    let trouble = tasks.iter().find_map(|task| trouble(tables, task, tasks.len() > 1));
    let live = tasks.iter().any(|task| !is_over(tables, task));
    match (live, trouble) {
        (true, Some((into, _, why))) => Outcome::Broken(into, why),
        (true, None) => Outcome::Runs,
        (false, Some((into, code, reason))) => Outcome::Over { into, code, reason },
        (false, None) => {
            let code = tasks.iter().filter_map(|task| task.status.exit_code).max().unwrap_or(0);
            Outcome::Over { into: JobState::Completed, code: Some(code), reason: String::new() }
        }
    }
}

fn is_lost(tables: &Tables, task: &Task) -> bool {
    let node = task.node.as_ref().and_then(|id| tables.nodes().get(id));
    node.is_none_or(|node| node.status.state == NodeState::Down)
}

fn faulty(tables: &Tables, task: &Task) -> Option<String> {
    faulty_device(task, tables.nodes().get(task.node.as_ref()?)?)
}

/// Nothing more comes of the task; one that no agent has seen yet ends with the wish for it.
fn is_over(tables: &Tables, task: &Task) -> bool {
    let state = task.status.state;
    state.is_final() || is_lost(tables, task) || (task.desired > TaskState::Running && state <= TaskState::Pending)
}

fn trouble(tables: &Tables, task: &Task, several: bool) -> Option<Trouble> {
    let rank = task.slot.saturating_sub(1);
    let of_task = |why: String| if several { format!("task {rank}: {why}") } else { why };
    let state = task.status.state;
    match state {
        // A node that is lost is no fault of the job's: it waits again.
        _ if !state.is_final() && is_lost(tables, task) => {
            let node = task.node.as_ref().map_or("", |id| id.short());
            Some((JobState::Pending, None, of_task(format!("node {node} is down"))))
        }
        // Nor is a device with which something is wrong.
        _ if !state.is_final() && faulty(tables, task).is_some() => {
            Some((JobState::Pending, None, of_task(faulty(tables, task)?)))
        }
        TaskState::Pending if task.desired <= TaskState::Running => {
            let why = task.status.error.clone()?;
            Some((JobState::Pending, None, of_task(why)))
        }
        TaskState::Complete | TaskState::Shutdown | TaskState::Remove => None,
        _ if state.is_final() => {
            let why = task.status.error.clone().unwrap_or_else(|| state.to_string());
            Some((JobState::Failed, task.status.exit_code, of_task(why)))
        }
        _ => None,
    }
}

/// Tells a job's containers to stop; when they have, the job becomes `into`. One that has not started becomes it now.
pub(crate) fn end(tx: &mut Tx<'_>, job: &Arc<Job>, into: JobState, reason: String) -> Result<(), StoreError> {
    let now = tx.now();
    if job.status.state != JobState::Running {
        return close(tx, job, into, reason, None, now);
    }
    if let Some(service) = job.status.service.clone().filter(|id| tx.services().get(id).is_some()) {
        tx.modify::<Service>(&service, |service| {
            service.spec.lifecycle = Lifecycle::Stopped;
            service.spec.stop_timeout = job.spec.grace;
        })?;
    }
    if into == JobState::Pending && job.spec.checkpoint.is_some() {
        checkpoint::ask(tx, job)?;
    }
    tx.modify::<Job>(&job.id, |job| {
        job.status.leaving = Some(into);
        job.status.reason = reason;
    })
}

/// How an attempt has ended.
struct Ended {
    into: JobState,
    code: Option<i32>,
    reason: String,
    used: DeviceUse,
}

/// Nothing of the job runs any more: it has ended, or waits again.
fn over(tx: &mut Tx<'_>, job: &Arc<Job>, ended: Ended, now: Timestamp) -> Result<(), StoreError> {
    let Ended { into, code, reason, used } = ended;
    let (into, reason) = match job.status.leaving {
        Some(leaving) => (leaving, job.status.reason.clone()),
        None => (into, reason),
    };
    if used != DeviceUse::default() {
        tx.modify::<Job>(&job.id, |job| job.status.used.add(&used))?;
    }
    let again = match into {
        JobState::Pending => true,
        JobState::Failed => job.status.attempts <= job.spec.retries,
        _ => false,
    };
    if !again {
        return close_used(tx, job, Ended { into, code, reason, used }, now);
    }
    count(tx, job, now, used, false)?;
    let kept = checkpoint::made(tx, job);
    drop_service(tx, job)?;
    tx.modify::<Job>(&job.id, |job| {
        let status = &mut job.status;
        status.state = JobState::Pending;
        status.checkpoint = kept.name;
        status.checkpoint_said = kept.words;
        status.reason = if reason.is_empty() { "waits again".into() } else { format!("waits again: {reason}") };
        status.leaving = None;
        status.service = None;
        status.nodes.clear();
        status.started = None;
    })
}

fn close(
    tx: &mut Tx<'_>,
    job: &Arc<Job>,
    state: JobState,
    reason: String,
    code: Option<i32>,
    now: Timestamp,
) -> Result<(), StoreError> {
    close_used(tx, job, Ended { into: state, code, reason, used: DeviceUse::default() }, now)
}

fn close_used(tx: &mut Tx<'_>, job: &Arc<Job>, ended: Ended, now: Timestamp) -> Result<(), StoreError> {
    let Ended { into: state, code, reason, used } = ended;
    if job.status.started.is_some() {
        count(tx, job, now, used, true)?;
    }
    drop_network(tx, job)?;
    // Its containers stay for their logs.
    if let Some(service) = job.status.service.clone().filter(|id| tx.services().get(id).is_some()) {
        tx.modify::<Service>(&service, |service| service.spec.lifecycle = Lifecycle::Stopped)?;
    }
    tx.modify::<Job>(&job.id, |job| {
        job.status.state = state;
        job.status.reason = reason;
        job.status.exit_code = code;
        job.status.ended = Some(now);
        job.status.expected = None;
        job.status.leaving = None;
    })
}

fn count(tx: &mut Tx<'_>, job: &Job, now: Timestamp, used: DeviceUse, last: bool) -> Result<(), StoreError> {
    let Some(queue) = tx.queue().map(|queue| queue.id.clone()) else { return Ok(()) };
    tx.modify::<Queue>(&queue, |queue| account::count(queue, job, now, used, last))
}

/// Takes a job's containers away, with its network.
pub(crate) fn drop_service(tx: &mut Tx<'_>, job: &Job) -> Result<(), StoreError> {
    drop_network(tx, job)?;
    let Some(service) = job.status.service.clone().filter(|id| tx.services().get(id).is_some()) else { return Ok(()) };
    tx.modify::<Service>(&service, |service| {
        service.spec.lifecycle = Lifecycle::Removed;
        service.spec.remove_volumes = true;
    })
}

fn drop_network(tx: &mut Tx<'_>, job: &Job) -> Result<(), StoreError> {
    let of_job = |network: &ClusterNetwork| {
        network.spec.labels.get(JOB).is_some_and(|id| id == job.id.as_str()) && !network.removing
    };
    let networks: Vec<_> = tx.networks().iter().filter(|n| of_job(n)).map(|n| n.id.clone()).collect();
    for id in networks {
        tx.modify::<ClusterNetwork>(&id, |network| network.removing = true)?;
    }
    Ok(())
}

/// Jobs that ended long ago are forgotten, with their containers.
fn forget_old(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
    let Some(hours) = tx.queue().map(|queue| queue.spec.keep_hours) else { return Ok(()) };
    let span = std::time::Duration::from_secs(u64::from(hours) * 3600);
    let old: Vec<Arc<Job>> = tx
        .jobs()
        .iter()
        .filter(|job| {
            let until = job.status.ended.and_then(|ended| ended.checked_add(span).ok());
            job.status.state.is_final() && until.is_some_and(|until| until <= now)
        })
        .cloned()
        .collect();
    for job in old {
        drop_service(tx, &job)?;
        tx.remove::<Job>(&job.id)?;
    }
    Ok(())
}
