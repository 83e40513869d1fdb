//! The tables as a pass of the queue sees them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use hoist_proto::{
    clock::Timestamp,
    id::{JobId, NodeId},
    spec::{
        Availability, Job, JobCondition, JobLayout, JobResources, JobSpec, JobState, Node, NodeState, PartitionSpec,
        Queue, QueueSpec, Task,
    },
};
use hoist_queue::{
    Account, Amount, Array, Booking, Classes, Input, Lab, Millis, Never, Partition, Placement, Policy, Preemption,
    Quota, Quotas, Running, Shape, Spread, Usages, Waiting, never,
};
use hoist_scheduler::{Constraint, holds_devices};
use hoist_store::Tables;

use super::usage_of;

/// The partition of all nodes, when the lab's owners have set none.
fn default_partition() -> PartitionSpec {
    PartitionSpec { name: "default".into(), ..PartitionSpec::default() }
}

/// Milliseconds since the epoch; what was before it is the epoch.
pub(crate) fn millis(at: Timestamp) -> Millis {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// All that a pass looks at, with what leads back to the tables.
pub(crate) struct View {
    pub(crate) now: Timestamp,
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) partitions: Vec<(Partition, Vec<bool>)>,
    pub(crate) specs: Vec<PartitionSpec>,
    lab: Lab,
    classes: Classes,
    shapes: Vec<Shape>,
    known: HashMap<Shape, usize>,
    eligible: HashMap<Vec<String>, Option<Arc<Vec<bool>>>>,
    waiting: Vec<Waiting<String>>,
    running: Vec<Running<String>>,
    pub(crate) jobs: HashMap<String, JobId>,
    usages: Usages,
    quotas: Quotas,
    bookings: Vec<Booking>,
    policy: Policy,
}

impl View {
    pub(crate) fn of(tables: &Tables, now: Timestamp) -> Self {
        let empty = QueueSpec::default();
        let queue = tables.queue();
        let spec = queue.map_or(&empty, |queue| &queue.spec);
        let nodes: Vec<Arc<Node>> = tables.nodes().iter().cloned().collect();
        let mut specs = spec.partitions.clone();
        if specs.is_empty() {
            specs.push(default_partition());
        }
        let partitions = specs.iter().map(|spec| (partition(spec), members(&nodes, &spec.constraints))).collect();
        let mut classes = Classes::default();
        let lab = lab(tables, &nodes, &mut classes);
        let mut view = Self {
            now,
            partitions,
            specs,
            lab,
            classes,
            shapes: Vec::new(),
            known: HashMap::new(),
            eligible: HashMap::new(),
            waiting: Vec::new(),
            running: Vec::new(),
            jobs: HashMap::new(),
            usages: Usages::default(),
            quotas: Quotas::default(),
            bookings: bookings(spec, &nodes),
            policy: Policy { aging: u64::from(spec.aging_hours) * 3_600_000, ..Policy::default() },
            nodes,
        };
        view.accounts(queue.map(|queue| &**queue), spec);
        view.jobs(tables);
        view
    }

    /// For [`hoist_queue::plan`].
    pub(crate) fn input(&self) -> Input<'_, String> {
        Input {
            now: millis(self.now),
            lab: self.lab.clone(),
            partitions: &self.partitions,
            shapes: &self.shapes,
            waiting: &self.waiting,
            running: &self.running,
            usages: &self.usages,
            quotas: &self.quotas,
            bookings: &self.bookings,
            policy: &self.policy,
        }
    }

    /// Why a job like this can never start, whatever ends.
    pub(crate) fn never(&mut self, spec: &JobSpec, user: &str) -> Option<Never> {
        let shape = match self.shape(spec) {
            Ok(shape) => shape,
            Err(reason) => return Some(Never { reason, nearest: None }),
        };
        let account = Account { user: user.to_owned(), project: spec.project.clone() };
        let shape = &self.shapes[shape];
        if let Some(reason) = self.quotas.forbid(&account, &shape.each.times(shape.tasks), &self.classes) {
            return Some(Never { reason, nearest: None });
        }
        never(&self.lab, shape, &self.partitions[shape.partition].1)
    }

    /// The place of the partition of that name; the first without one.
    pub(crate) fn partition(&self, name: Option<&str>) -> Result<usize, String> {
        let Some(name) = name else { return Ok(0) };
        self.specs.iter().position(|spec| spec.name == name).ok_or_else(|| {
            let names: Vec<_> = self.specs.iter().map(|spec| spec.name.as_str()).collect();
            format!("no such partition: {name:?}; there are {}", names.join(", "))
        })
    }

    fn shape(&mut self, spec: &JobSpec) -> Result<usize, String> {
        let each = amount(&spec.each, |kind| {
            self.classes.find(kind).ok_or_else(|| format!("no node has a device of the kind {kind:?}"))
        })?;
        let partition = self.partition(spec.partition.as_deref())?;
        let nodes = &self.nodes;
        let eligible = self
            .eligible
            .entry(spec.constraints.clone())
            .or_insert_with(|| (!spec.constraints.is_empty()).then(|| Arc::new(members(nodes, &spec.constraints))));
        let spread = match spec.layout {
            JobLayout::Packed => Spread::Packed,
            JobLayout::OneNode => Spread::OneNode,
            JobLayout::WholeNodes => Spread::WholeNodes,
        };
        let shape = Shape { tasks: spec.tasks.max(1), each, spread, partition, eligible: eligible.clone() };
        Ok(*self.known.entry(shape.clone()).or_insert_with(|| {
            self.shapes.push(shape);
            self.shapes.len() - 1
        }))
    }

    fn accounts(&mut self, queue: Option<&Queue>, spec: &QueueSpec) {
        let quota = |account: &hoist_proto::spec::AccountSpec| Quota {
            devices: account.devices,
            jobs: account.jobs,
            device_hours: account.device_hours,
        };
        for (name, account) in &spec.users {
            self.usages.share_of_user(name, account.share.unwrap_or(1));
            self.quotas.users.insert(name.clone(), quota(account));
        }
        for (name, account) in &spec.projects {
            self.usages.share_of_project(name, account.share.unwrap_or(1));
            self.quotas.projects.insert(name.clone(), quota(account));
        }
        for row in queue.iter().flat_map(|queue| &queue.fading) {
            let account = Account { user: row.user.clone(), project: row.project.clone() };
            let used = hoist_queue::Usage { amount: row.amount, at: row.at };
            let half_life = u64::from(spec.half_life_hours) * 3_600_000;
            let used = used.at(millis(self.now), half_life);
            self.usages.add(&account, used);
            self.quotas.count_hours(&account, used);
        }
    }

    fn jobs(&mut self, tables: &Tables) {
        let ended = Ended::of(tables);
        let mut open: Vec<_> = tables.jobs().iter().filter(|job| !job.status.state.is_final()).collect();
        // Jobs of one moment go in the order of their numbers.
        open.sort_by_key(|job| (job.number, job.array.map(|array| array.index)));
        for job in open {
            let label = job.label();
            self.jobs.insert(label.clone(), job.id.clone());
            let account = Account { user: job.user.clone(), project: job.spec.project.clone() };
            let array = job.array.filter(|array| array.at_once > 0);
            let array = array.map(|array| Array { of: job.number.to_string(), at_once: array.at_once });
            let limit = job.spec.time_limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
            let shape = self.shape(&job.spec);
            let priority = job.spec.priority;
            if job.status.state == JobState::Running {
                let Ok(shape) = shape else { continue };
                let started = job.status.started.map_or(0, millis);
                let used = usage_of(job, self.now);
                self.usages.add(&account, used.device_millis as f64);
                let on = self.placements(&job.status.nodes);
                let leaving = job.status.leaving.is_some();
                self.running.push(Running { id: label, account, priority, started, limit, shape, on, leaving, array });
                continue;
            }
            let blocked = match &shape {
                Err(why) => Some(why.clone()),
                Ok(_) => self.blocked(job, &ended),
            };
            let submitted = millis(job.meta.created);
            // A job whose kind of device has gone waits with any shape: it is blocked.
            let shape = shape.unwrap_or_else(|_| self.any_shape());
            self.waiting.push(Waiting { id: label, account, priority, submitted, shape, limit, blocked, array });
        }
    }

    fn any_shape(&mut self) -> usize {
        let shape = Shape { tasks: 1, each: Amount::default(), spread: Spread::Packed, partition: 0, eligible: None };
        *self.known.entry(shape.clone()).or_insert_with(|| {
            self.shapes.push(shape);
            self.shapes.len() - 1
        })
    }

    fn blocked(&self, job: &Job, ended: &Ended) -> Option<String> {
        if job.status.held {
            return Some("held".into());
        }
        if let Some(begin) = job.spec.begin.filter(|begin| *begin > self.now) {
            return Some(format!("not before {}", begin.strftime("%Y-%m-%d %H:%M:%S UTC")));
        }
        job.spec.depends.iter().find(|dependency| !ended.met(dependency.job, dependency.when)).map(|dependency| {
            let how = match dependency.when {
                JobCondition::Success => "success",
                JobCondition::Failure => "failure",
                JobCondition::End => "end",
            };
            format!("waits for the {how} of job {}", dependency.job)
        })
    }

    fn placements(&self, nodes: &[NodeId]) -> Vec<Placement> {
        let mut tasks: BTreeMap<usize, u32> = BTreeMap::new();
        for id in nodes {
            if let Some(place) = self.nodes.iter().position(|node| node.id == *id) {
                *tasks.entry(place).or_default() += 1;
            }
        }
        tasks.into_iter().map(|(node, tasks)| Placement { node, tasks }).collect()
    }
}

/// How the jobs that are over have ended, by number.
pub(crate) struct Ended(HashMap<u64, (bool, bool, bool)>);

impl Ended {
    pub(crate) fn of(tables: &Tables) -> Self {
        let mut ended: HashMap<u64, (bool, bool, bool)> = HashMap::new();
        for job in tables.jobs().iter() {
            // All over, all well, any ill.
            let (over, well, ill) = ended.entry(job.number).or_insert((true, true, false));
            *over &= job.status.state.is_final();
            *well &= job.status.state == JobState::Completed;
            *ill |= job.status.state.is_final() && job.status.state != JobState::Completed;
        }
        Self(ended)
    }

    /// Whether the job has ended so. One that is forgotten ended long ago, and nobody knows how: it holds nobody up.
    fn met(&self, number: u64, when: JobCondition) -> bool {
        self.0.get(&number).is_none_or(|(over, well, ill)| match when {
            JobCondition::Success => *over && *well,
            JobCondition::Failure => *over && *ill,
            JobCondition::End => *over,
        })
    }

    /// Whether the job has ended otherwise, so that the condition cannot come true any more.
    pub(crate) fn missed(&self, number: u64, when: JobCondition) -> bool {
        self.0.get(&number).is_some_and(|(over, ..)| *over) && !self.met(number, when)
    }
}

fn partition(spec: &PartitionSpec) -> Partition {
    let preemption = if spec.preempt { Preemption::Requeue } else { Preemption::Never };
    Partition { name: spec.name.clone(), preemption }
}

/// The nodes that meet all constraints. Malformed ones are refused when they are written.
fn members(nodes: &[Arc<Node>], constraints: &[String]) -> Vec<bool> {
    let constraints: Vec<Option<Constraint>> = constraints.iter().map(|text| text.parse().ok()).collect();
    let meets = |node: &Node| constraints.iter().all(|one| one.as_ref().is_some_and(|one| one.met_by(node)));
    nodes.iter().map(|node| meets(node)).collect()
}

fn bookings(spec: &QueueSpec, nodes: &[Arc<Node>]) -> Vec<Booking> {
    spec.reservations
        .iter()
        .map(|reservation| Booking {
            name: reservation.name.clone(),
            nodes: members(nodes, &reservation.constraints)
                .iter()
                .enumerate()
                .filter_map(|(place, member)| member.then_some(place))
                .collect(),
            from: millis(reservation.from),
            until: millis(reservation.until),
            users: reservation.users.clone(),
            projects: reservation.projects.clone(),
        })
        .collect()
}

/// What nodes have, less what tasks that are no jobs' hold.
fn lab(tables: &Tables, nodes: &[Arc<Node>], classes: &mut Classes) -> Lab {
    let states = nodes
        .iter()
        .map(|node| {
            let description = &node.description;
            let mut total =
                Amount { nano_cpus: description.nano_cpus, memory: description.memory, ..Amount::default() };
            for (kind, count) in &description.generic_resources {
                match classes.place(kind) {
                    Ok(place) => total.devices[place] = u32::try_from(*count).unwrap_or(u32::MAX),
                    Err(error) => tracing::warn!(node = %node.id, "{error}"),
                }
            }
            let free = tables
                .tasks_on(&node.id)
                .filter(|task| !task.status.state.is_final() && !task.desired.is_final() && !is_of_job(tables, task))
                .fold(total, |free, task| free.minus(&held(task)))
                .minus(&held_devices(tables, node, classes));
            let ready = node.status.state == NodeState::Ready && node.spec.availability == Availability::Active;
            let name = node.spec.name.clone().unwrap_or_else(|| description.hostname.clone());
            hoist_queue::Node { name, total, free, ready }
        })
        .collect();
    Lab::new(classes.clone(), states)
}

fn is_of_job(tables: &Tables, task: &Task) -> bool {
    tables.services().get(&task.service).is_some_and(|service| service.spec.labels.contains_key(super::begin::JOB))
}

/// What a service's task holds, but for devices.
fn held(task: &Task) -> Amount {
    let resources = &task.spec.container.resources;
    Amount {
        nano_cpus: resources.reserved_nano_cpus.unwrap_or(0),
        memory: resources.reserved_memory.unwrap_or(0),
        ..Amount::default()
    }
}

/// The devices that jobs cannot have, as tasks of services or containers that are no tasks hold them, or a part of
/// them; each once.
fn held_devices(tables: &Tables, node: &Node, classes: &Classes) -> Amount {
    let of_services =
        tables.tasks_on(&node.id).filter(|task| holds_devices(task) && !is_of_job(tables, task)).collect::<Vec<_>>();
    let mut amount = Amount::default();
    for kind in node.description.devices.iter().filter(|kind| !kind.open) {
        let word = kind.name.rsplit('/').next().unwrap_or(&kind.name);
        let Some(place) = classes.find(word) else { continue };
        // Those that are set aside are not counted among the node's.
        for device in kind.devices.iter().filter(|device| device.set_aside.is_none()) {
            let by_task = |task: &&Arc<Task>| {
                task.devices.iter().any(|given| given.kind == kind.name && given.name == device.name)
            };
            let held = !device.held.is_empty() || of_services.iter().any(by_task);
            amount.devices[place] += u32::from(held);
        }
    }
    amount
}

/// An amount of the lab, as a job asks for it.
pub(crate) fn amount<E>(
    resources: &JobResources,
    mut place: impl FnMut(&str) -> Result<usize, E>,
) -> Result<Amount, E> {
    let mut amount = Amount { nano_cpus: resources.nano_cpus, memory: resources.memory, ..Amount::default() };
    for (kind, count) in resources.devices.iter().filter(|(_, count)| **count > 0) {
        amount.devices[place(kind)?] = *count;
    }
    Ok(amount)
}
