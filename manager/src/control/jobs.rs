//! Jobs: submitted, looked at, held, released, cancelled, sent back; and the queue's rules.

use std::sync::Arc;

use hoist_proto::spec::{
    Caller, DeviceUse, Job, JobRequest, JobSpec, JobState, JobStatus, Meta, PartitionSpec, Queue, QueueSpec, Submitted,
    Task, TaskState, UsageRow,
};
use hoist_proto::{clock::Timestamp, id::JobId, protocol::Protocol, signal::Signal, unit};
use hoist_scheduler::Constraint;
use hoist_store::{Tables, Tx, Wake};

use super::{Control, ControlError};
use crate::agreement;
use crate::queue::{View, drop_service, end, usage_of};

/// How far a job has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Started {
    pub state: JobState,
    pub reason: String,
    /// The container of its first task.
    pub container: Option<String>,
}

/// The most jobs of one array.
const LARGEST_ARRAY: usize = 100_000;

impl Control {
    /// Takes a job, or an array of them, into the queue.
    ///
    /// # Errors
    /// What can never run is refused at once, with the nearest that could.
    pub async fn submit(&self, caller: Caller, request: JobRequest) -> Result<Submitted, ControlError> {
        self.inner.store.update(|tx| make_jobs(tx, &caller, &request)).await
    }

    /// All jobs, in the order of their numbers.
    pub fn jobs(&self) -> Vec<Job> {
        self.inner.store.view(|tables| {
            let mut jobs: Vec<Job> = tables.jobs().iter().map(|job| (**job).clone()).collect();
            jobs.sort_by_key(|job| (job.number, job.array.map(|array| array.index)));
            jobs
        })
    }

    /// The jobs that a person calls so: `12` (of an array, all), `12_3`, a name, or an id.
    pub fn jobs_called(&self, name: &str) -> Result<Vec<Job>, ControlError> {
        let found = self.inner.store.view(|tables| find(tables, name))?;
        Ok(found.iter().map(|job| (**job).clone()).collect())
    }

    /// The tasks of these jobs' last attempts, by rank.
    pub fn job_tasks(&self, name: &str) -> Result<Vec<Task>, ControlError> {
        self.inner.store.view(|tables| {
            let services = find(tables, name)?.into_iter().filter_map(|job| job.status.service.clone());
            let mut tasks: Vec<Task> = Vec::new();
            for service in services {
                let mut of_job: Vec<_> = tables.tasks_of(&service).map(|task| (**task).clone()).collect();
                of_job.sort_by_key(|task| task.slot);
                tasks.extend(of_job);
            }
            Ok(tasks)
        })
    }

    /// Ends jobs; those that wait never start.
    pub async fn cancel_jobs(&self, caller: Caller, name: &str) -> Result<Vec<String>, ControlError> {
        self.change_jobs(caller, name, |tx, job| {
            if job.status.state.is_final() {
                return Ok(false);
            }
            end(tx, job, JobState::Cancelled, "cancelled".into())?;
            Ok(true)
        })
        .await
    }

    /// Keeps waiting jobs from starting, or lets them.
    pub async fn hold_jobs(&self, caller: Caller, name: &str, held: bool) -> Result<Vec<String>, ControlError> {
        self.change_jobs(caller, name, |tx, job| {
            if job.status.state != JobState::Pending || job.status.held == held {
                return Ok(false);
            }
            tx.modify::<Job>(&job.id, |job| job.status.held = held)?;
            Ok(true)
        })
        .await
    }

    /// Stops jobs that run and lets them wait again; jobs that have ended are to run once more.
    pub async fn requeue_jobs(&self, caller: Caller, name: &str) -> Result<Vec<String>, ControlError> {
        self.change_jobs(caller, name, |tx, job| match job.status.state {
            JobState::Pending => Ok(false),
            JobState::Running => {
                end(tx, job, JobState::Pending, "sent back".into())?;
                Ok(true)
            }
            _ => {
                drop_service(tx, job)?;
                tx.modify::<Job>(&job.id, |job| {
                    let attempts = job.status.attempts;
                    job.status = JobStatus { attempts, reason: "waits again".into(), ..JobStatus::default() };
                })?;
                Ok(true)
            }
        })
        .await
    }

    /// Forgets jobs that have ended, with their containers and what these wrote.
    pub async fn remove_jobs(&self, caller: Caller, name: &str) -> Result<Vec<String>, ControlError> {
        self.change_jobs(caller, name, |tx, job| {
            if !job.status.state.is_final() {
                return Err(ControlError::Conflict(format!(
                    "job {} is {}: cancel it before it is removed",
                    job.label(),
                    job.status.state
                )));
            }
            drop_service(tx, job)?;
            tx.remove::<Job>(&job.id)?;
            Ok(true)
        })
        .await
    }

    /// Waits until the job's first task has a container, the job has ended, or it waits for another reason than `told`.
    ///
    /// # Errors
    /// When there is no such job.
    pub async fn wait_for_start(&self, name: &str, told: &str) -> Result<Started, ControlError> {
        let look = |tables: &Tables| {
            let Some(job) = find(tables, name)?.into_iter().next() else {
                return Err(ControlError::NoSuchJob(name.to_owned()));
            };
            let tasks = job.status.service.iter().flat_map(|service| tables.tasks_of(service));
            let first = tasks.min_by_key(|task| task.slot);
            // A container that is made but does not run yet has nothing to be followed.
            let first = first.filter(|task| task.status.state >= TaskState::Running);
            let container = first.and_then(|task| task.status.container_id.clone());
            Ok(Started { state: job.status.state, reason: job.status.reason.clone(), container })
        };
        let (mut now, mut watch) = self.inner.store.watch(look);
        loop {
            let started = now?;
            let waits = started.state == JobState::Pending && started.reason != told && !started.reason.is_empty();
            if waits || started.container.is_some() || started.state.is_final() {
                return Ok(started);
            }
            tokio::select! {
                () = self.inner.cancel.cancelled() => return Err(ControlError::Conflict("the manager ends".into())),
                wake = watch.next() => if matches!(wake, Wake::Closed) {
                    return Err(ControlError::Conflict("the manager ends".into()));
                }
            }
            now = self.inner.store.view(look);
        }
    }

    /// Waits until all these jobs have ended.
    pub async fn wait_for_jobs(&self, name: &str) -> Result<Vec<Job>, ControlError> {
        let (found, mut watch) = self.inner.store.watch(|tables| find(tables, name));
        let ids: Vec<JobId> = found?.iter().map(|job| job.id.clone()).collect();
        loop {
            let jobs: Vec<Arc<Job>> =
                self.inner.store.view(|tables| ids.iter().filter_map(|id| tables.jobs().get(id).cloned()).collect());
            if jobs.iter().all(|job| job.status.state.is_final()) {
                return Ok(jobs.iter().map(|job| (**job).clone()).collect());
            }
            tokio::select! {
                () = self.inner.cancel.cancelled() => return Err(ControlError::Conflict("the manager ends".into())),
                wake = watch.next() => if matches!(wake, Wake::Closed) {
                    return Err(ControlError::Conflict("the manager ends".into()));
                }
            }
        }
    }

    /// The queue's rules.
    pub fn queue_spec(&self) -> QueueSpec {
        self.inner.store.view(|tables| tables.queue().map(|queue| queue.spec.clone()).unwrap_or_default())
    }

    /// Sets the queue's rules.
    ///
    /// # Errors
    /// For constraints that are none, names that are given twice, and callers who are no admins.
    pub async fn set_queue_spec(&self, caller: Caller, spec: QueueSpec) -> Result<(), ControlError> {
        check_rules(&spec)?;
        self.inner
            .store
            .update(|tx| {
                if !is_admin(tx, &caller) {
                    return Err(ControlError::Forbidden("only an admin may change the queue's rules".into()));
                }
                let id = queue(tx)?.id;
                tx.modify::<Queue>(&id, |queue| queue.spec = spec.clone())?;
                Ok(())
            })
            .await
    }

    /// What was used, a row for each day and account, with what runs now counted today.
    pub fn usage(&self) -> Vec<UsageRow> {
        let now = self.inner.store.clock().now();
        self.inner.store.view(|tables| {
            let mut rows = tables.queue().map(|queue| queue.used.clone()).unwrap_or_default();
            for job in tables.jobs().iter().filter(|job| job.status.state == JobState::Running) {
                let used = usage_of(job, now);
                rows.push(UsageRow {
                    day: now.strftime("%Y-%m-%d").to_string(),
                    user: job.user.clone(),
                    project: job.spec.project.clone(),
                    jobs: 1,
                    device_millis: used.device_millis,
                    cpu_millis: used.cpu_millis,
                    used: DeviceUse::default(),
                });
            }
            rows
        })
    }

    async fn change_jobs(
        &self,
        caller: Caller,
        name: &str,
        change: impl Fn(&mut Tx<'_>, &Arc<Job>) -> Result<bool, ControlError>,
    ) -> Result<Vec<String>, ControlError> {
        self.inner
            .store
            .update(|tx| {
                let mut changed = Vec::new();
                for job in find(tx, name)? {
                    if !is_admin(tx, &caller) && caller.user != job.user {
                        return Err(ControlError::Forbidden(format!("job {} is {}'s", job.label(), job.user)));
                    }
                    if change(tx, &job)? {
                        changed.push(job.label());
                    }
                }
                Ok(changed)
            })
            .await
    }
}

/// Writes a job, or an array of them, into the queue.
///
/// # Errors
/// What can never run is refused, with the nearest that could.
pub(crate) fn make_jobs(tx: &mut Tx<'_>, caller: &Caller, request: &JobRequest) -> Result<Submitted, ControlError> {
    let user = owner(tx, caller, request.user.as_deref())?;
    let mut spec = request.spec.clone();
    check(tx, &mut spec, &user)?;
    let array = request.array.as_ref();
    if array.is_some_and(|array| array.indices.is_empty() || array.indices.len() > LARGEST_ARRAY) {
        return Err(ControlError::invalid(format!("an array has 1 to {LARGEST_ARRAY} jobs")));
    }
    let number = next_number(tx)?;
    let indices: Vec<_> = match array {
        Some(array) => array
            .indices
            .iter()
            .map(|index| Some(hoist_proto::spec::ArrayIndex { index: *index, at_once: array.at_once }))
            .collect(),
        None => vec![None],
    };
    let mut jobs = Vec::with_capacity(indices.len());
    for array in indices {
        let id = JobId::random();
        jobs.push(id.clone());
        let status = JobStatus { held: request.hold, ..JobStatus::default() };
        let (user, uid) = (user.clone(), caller.uid);
        tx.put(Job { id, meta: Meta::default(), number, array, user, uid, spec: spec.clone(), status })?;
    }
    Ok(Submitted { number, jobs })
}

/// For whom the job is: an admin may say so.
pub(super) fn owner(tables: &Tables, caller: &Caller, wanted: Option<&str>) -> Result<String, ControlError> {
    match wanted {
        Some(user) if user != caller.user && !is_admin(tables, caller) => {
            Err(ControlError::Forbidden(format!("{} may not submit jobs for {user}", caller.user)))
        }
        Some(user) => Ok(user.to_owned()),
        None => Ok(caller.user.clone()),
    }
}

pub(super) fn is_admin(tables: &Tables, caller: &Caller) -> bool {
    caller.uid == Some(0) || tables.queue().is_some_and(|queue| queue.spec.admins.contains(&caller.user))
}

fn find(tables: &Tables, name: &str) -> Result<Vec<Arc<Job>>, ControlError> {
    let named = |job: &&Arc<Job>| {
        job.label() == name || job.id.as_str() == name || job.number.to_string() == name || job.spec.name == name
    };
    let mut found: Vec<Arc<Job>> = tables.jobs().iter().filter(named).cloned().collect();
    if found.is_empty() {
        return Err(ControlError::NoSuchJob(name.to_owned()));
    }
    found.sort_by_key(|job| (job.number, job.array.map(|array| array.index)));
    let mut numbers: Vec<u64> = found.iter().map(|job| job.number).collect();
    numbers.dedup();
    if numbers.len() > 1 {
        // A name may be used again; the ones that are still open are meant, if that is one.
        let open: Vec<_> = found.iter().filter(|job| !job.status.state.is_final()).cloned().collect();
        let mut of_open: Vec<u64> = open.iter().map(|job| job.number).collect();
        of_open.dedup();
        if of_open.len() == 1 {
            return Ok(open);
        }
        let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        return Err(ControlError::Conflict(format!("several jobs are called {name:?}: {}", numbers.join(", "))));
    }
    Ok(found)
}

/// The queue's record, which is made with the first job.
pub(super) fn queue(tx: &mut Tx<'_>) -> Result<Queue, ControlError> {
    if let Some(queue) = tx.queue() {
        return Ok((**queue).clone());
    }
    let id = tx.cluster().map(|cluster| cluster.id.clone()).unwrap_or_else(hoist_proto::id::ClusterId::random);
    let queue = Queue {
        id,
        meta: Meta::default(),
        spec: QueueSpec::default(),
        last: 0,
        used: Vec::new(),
        fading: Vec::new(),
        crons: Default::default(),
    };
    tx.put(queue.clone())?;
    Ok(queue)
}

fn next_number(tx: &mut Tx<'_>) -> Result<u64, ControlError> {
    let queue = queue(tx)?;
    let number = queue.last + 1;
    tx.modify::<Queue>(&queue.id, |queue| queue.last = number)?;
    Ok(number)
}

/// Fills in the partition's defaults and refuses what cannot be.
pub(super) fn check(tx: &Tx<'_>, spec: &mut JobSpec, user: &str) -> Result<(), ControlError> {
    if spec.container.image.is_empty() {
        return Err(ControlError::invalid("a job needs an image"));
    }
    constraints(&spec.constraints)?;
    devices(spec)?;
    spec.tasks = spec.tasks.max(1);
    let numbers: Vec<u64> = tx.jobs().iter().map(|job| job.number).collect();
    if let Some(unknown) = spec.depends.iter().find(|needed| !numbers.contains(&needed.job)) {
        return Err(ControlError::NoSuchJob(unknown.job.to_string()));
    }
    let mut view = View::of(tx, tx.now(), Some(spec));
    let partition = view.partition(spec.partition.as_deref()).map_err(ControlError::invalid)?;
    let partition = view.specs[partition].clone();
    admit(&partition, spec, user)?;
    let hours = |hours: u32| std::time::Duration::from_secs(u64::from(hours) * 3600);
    let most = partition.max_time_hours.map(hours);
    spec.time_limit = spec.time_limit.or(partition.default_time_hours.map(hours)).or(most);
    if let (Some(limit), Some(most)) = (spec.time_limit, most)
        && limit > most
    {
        let most = partition.max_time_hours.unwrap_or_default();
        return Err(ControlError::invalid(format!("partition {} allows {most} hours at most", partition.name)));
    }
    if let Some(checkpoint) = &spec.checkpoint {
        agreement::require(tx, Protocol::CHECKPOINTS, "a job with a checkpoint").map_err(ControlError::Precondition)?;
        if spec.tasks > 1 {
            return Err(ControlError::invalid(
                "a job with a checkpoint has one task: the connections between several are not kept",
            ));
        }
        if spec.container.tty {
            return Err(ControlError::invalid("a job with a terminal can have no checkpoint: submit it without -t"));
        }
        if let Some(dir) = checkpoint.dir.as_ref().filter(|dir| !dir.starts_with('/')) {
            return Err(ControlError::invalid(format!("the checkpoint directory {dir:?} is not an absolute path")));
        }
    }
    if let Some(warning) = &spec.warning {
        warning.signal.parse::<Signal>().map_err(|error| ControlError::invalid(error.to_string()))?;
        match spec.time_limit {
            None => return Err(ControlError::invalid("a signal before the time limit needs a time limit: say --time")),
            Some(limit) if warning.before >= limit => {
                return Err(ControlError::invalid(format!(
                    "the signal is to come {} before the time limit, which is {} after the start",
                    unit::format_duration(warning.before),
                    unit::format_duration(limit)
                )));
            }
            Some(_) => {}
        }
    }
    match view.never(spec, user) {
        None => Ok(()),
        Some(never) => {
            let nearest = never.nearest.map(|nearest| format!("; the most that could be had: {nearest}"));
            Err(ControlError::invalid(format!("{}{}", never.reason, nearest.unwrap_or_default())))
        }
    }
}

/// All devices are the queue's to count, wherever the request has them.
fn devices(spec: &mut JobSpec) -> Result<(), ControlError> {
    let resources = &mut spec.container.resources;
    spec.each.requests.append(&mut resources.all_requests());
    resources.device_requests.clear();
    resources.reserved_generic.clear();
    for request in spec.each.all_requests() {
        let looked_at =
            hoist_choice::Request::of(&request).map_err(|error| ControlError::invalid(error.to_string()))?;
        let all = |name: &String| name == "all" || name.ends_with("=all");
        let names_all = request.device_ids.iter().any(all);
        if names_all || looked_at.which == hoist_choice::Which::All {
            return Err(ControlError::invalid(
                "a job asks for a number of devices or for these ones, not for all: layout whole-nodes takes nodes with \
                 all their devices",
            ));
        }
    }
    Ok(())
}

fn admit(partition: &PartitionSpec, spec: &JobSpec, user: &str) -> Result<(), ControlError> {
    let open = partition.users.is_empty() && partition.projects.is_empty();
    let listed = partition.users.iter().any(|known| known == user)
        || spec.project.as_ref().is_some_and(|project| partition.projects.contains(project));
    if open || listed {
        return Ok(());
    }
    Err(ControlError::Forbidden(format!("partition {} is not for {user}", partition.name)))
}

fn constraints(texts: &[String]) -> Result<(), ControlError> {
    for text in texts {
        text.parse::<Constraint>().map_err(|error| ControlError::invalid(error.to_string()))?;
    }
    Ok(())
}

fn check_rules(spec: &QueueSpec) -> Result<(), ControlError> {
    let mut names = std::collections::BTreeSet::new();
    for partition in &spec.partitions {
        if partition.name.is_empty() || !names.insert(&partition.name) {
            return Err(ControlError::invalid(format!("partition {:?} has no name of its own", partition.name)));
        }
        constraints(&partition.constraints)?;
        if partition.idle_percent.is_some() != partition.idle_minutes.is_some() {
            return Err(ControlError::invalid(format!(
                "partition {}: idle_percent and idle_minutes belong together",
                partition.name
            )));
        }
        if partition.idle_percent.is_some_and(|percent| percent == 0 || percent > 100) {
            return Err(ControlError::invalid(format!("partition {}: idle_percent is from 1 to 100", partition.name)));
        }
    }
    for reservation in &spec.reservations {
        constraints(&reservation.constraints)?;
        if reservation.from >= reservation.until {
            return Err(ControlError::invalid(format!("reservation {:?} ends before it begins", reservation.name)));
        }
    }
    Ok(())
}

/// When the job's time is up, if it runs and has a limit.
pub fn ends_by(job: &Job) -> Option<Timestamp> {
    job.status.started?.checked_add(job.spec.time_limit?).ok()
}
