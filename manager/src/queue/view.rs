//! The tables as a pass of the queue sees them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use hoist_proto::{
    clock::Timestamp,
    id::{JobId, NodeId},
    spec::{
        AssignedDevice, Availability, DeviceRequest, Job, JobCondition, JobLayout, JobSpec, JobState, Node, NodeState,
        PartitionSpec, Queue, QueueSpec, Task,
    },
};
use hoist_queue::{
    Account, Amount, Array, Booking, Input, Lab, Millis, Never, Partition, Placement, Policy, Preemption, Quota,
    Quotas, Room, Running, Shape, Spread, Usages, Waiting, never,
};
use hoist_scheduler::{Constraint, holds_devices, never_met};
use hoist_store::Tables;

use super::{
    account::usage_of,
    machines::{Machines, Wants},
};

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
    machines: Machines,
    wants: Wants,
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
    /// `new` is a job that has no place in the tables yet.
    pub(crate) fn of(tables: &Tables, now: Timestamp, new: Option<&JobSpec>) -> Self {
        let empty = QueueSpec::default();
        let queue = tables.queue();
        let spec = queue.map_or(&empty, |queue| &queue.spec);
        let nodes: Vec<Arc<Node>> = tables.nodes().iter().cloned().collect();
        let mut specs = spec.partitions.clone();
        if specs.is_empty() {
            specs.push(default_partition());
        }
        let partitions = specs.iter().map(|spec| (partition(spec), members(&nodes, &spec.constraints))).collect();
        let mut open: Vec<&Arc<Job>> = tables.jobs().iter().filter(|job| !job.status.state.is_final()).collect();
        // Jobs of one moment go in the order of their numbers.
        open.sort_by_key(|job| (job.number, job.array.map(|array| array.index)));
        let mut wants = Wants::default();
        for spec in open.iter().map(|job| &job.spec).chain(new) {
            wants.add(&spec.each);
        }
        let machines = Machines::of(&nodes, &wants);
        let lab = lab(tables, &nodes, &machines, &wants);
        let mut view = Self {
            now,
            partitions,
            specs,
            lab,
            machines,
            wants,
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
        view.jobs(tables, &open);
        view
    }

    /// The devices that the tasks of a placement get, by the names that they have on their node.
    pub(crate) fn assigned(&self, placement: &Placement) -> Vec<Vec<AssignedDevice>> {
        let node = &self.nodes[placement.node];
        let of = |task: u32| {
            let picks = placement.picks.iter().filter(|pick| pick.task == task);
            picks.filter_map(|pick| self.machines.assigned(node, placement.node, pick)).collect()
        };
        (0..placement.tasks).map(of).collect()
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
        if let Some(reason) = self.quotas.forbid(&account, shape, &self.lab) {
            return Some(Never { reason, nearest: None });
        }
        let members = &self.partitions[shape.partition].1;
        let reason = never(&self.lab, shape, members)?;
        if spec.each.requests.is_empty() {
            return Some(reason);
        }
        // Of what is asked beside the number the scheduler can say more.
        let nodes = self.nodes.iter().zip(members).filter(|(_, member)| **member).map(|(node, _)| &**node);
        let why = never_met(&spec.each.all_requests(), &nodes.collect::<Vec<_>>());
        Some(why.map_or(reason, |reason| Never { reason, nearest: None }))
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
        let wants = self.wants.of(&spec.each)?;
        let plain = |request: &&DeviceRequest| request.options.is_empty() && request.device_ids.is_empty();
        let none = wants.iter().filter(|want| self.machines.none(**want)).filter_map(|want| self.wants.request(*want));
        if let Some(unknown) = none.into_iter().find(plain) {
            return Err(format!("no node has a device of the kind {:?}", unknown.what()));
        }
        let each = Amount { nano_cpus: spec.each.nano_cpus, memory: spec.each.memory };
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
        let shape = Shape { tasks: spec.tasks.max(1), each, wants, spread, partition, eligible: eligible.clone() };
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

    fn jobs(&mut self, tables: &Tables, open: &[&Arc<Job>]) {
        let ended = Ended::of(tables);
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
                let on = self.placements(tables, job);
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
        let shape = Shape {
            tasks: 1,
            each: Amount::default(),
            wants: Vec::new(),
            spread: Spread::Packed,
            partition: 0,
            eligible: None,
        };
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

    /// What the job's tasks hold, by node.
    fn placements(&self, tables: &Tables, job: &Job) -> Vec<Placement> {
        let mut on: BTreeMap<usize, Placement> = BTreeMap::new();
        let place = |id: &NodeId| self.nodes.iter().position(|node| node.id == *id);
        for node in job.status.nodes.iter().filter_map(place) {
            let placement = on.entry(node).or_insert_with(|| Placement { node, ..Placement::default() });
            placement.tasks += 1;
            let each = Amount { nano_cpus: job.spec.each.nano_cpus, memory: job.spec.each.memory };
            placement.takes.amount = placement.takes.amount.plus(&each);
        }
        for task in job.status.service.iter().flat_map(|service| tables.tasks_of(service)) {
            let node = task.node.as_ref().and_then(place);
            let Some(placement) = node.and_then(|node| on.get_mut(&node)) else { continue };
            let node = placement.node;
            for device in &task.devices {
                self.machines.add(node, &device.kind, &device.name, device.parts, &mut placement.takes);
            }
        }
        if job.spec.layout == JobLayout::WholeNodes {
            on.values_mut().for_each(|placement| placement.takes = self.lab.nodes()[placement.node].total.clone());
        }
        on.into_values().collect()
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
fn lab(tables: &Tables, nodes: &[Arc<Node>], machines: &Machines, wants: &Wants) -> Lab {
    let state = |(place, node): (usize, &Arc<Node>)| {
        let description = &node.description;
        let amount = Amount { nano_cpus: description.nano_cpus, memory: description.memory };
        let total = Room { amount, parts: machines.usable(node, place) };
        let others = tables.tasks_on(&node.id).filter(|task| !is_of_job(tables, task)).collect::<Vec<_>>();
        let mut taken = Room::default();
        for task in others.iter().filter(|task| !task.status.state.is_final() && !task.desired.is_final()) {
            taken.amount = taken.amount.plus(&held(task));
        }
        for device in others.iter().filter(|task| holds_devices(task)).flat_map(|task| &task.devices) {
            machines.add(place, &device.kind, &device.name, device.parts, &mut taken);
        }
        for kind in &description.devices {
            for device in &kind.devices {
                for held in &device.held {
                    machines.add(place, &kind.name, &device.name, held.parts, &mut taken);
                }
            }
        }
        let free = total.minus(&taken);
        let ready = node.status.state == NodeState::Ready && node.spec.availability == Availability::Active;
        let name = node.spec.name.clone().unwrap_or_else(|| description.hostname.clone());
        hoist_queue::Node { name, total, free, ready, machine: machines.machine(place) }
    };
    let states = nodes.iter().enumerate().map(state).collect();
    Lab::new(wants.all(), machines.all(), states)
}

fn is_of_job(tables: &Tables, task: &Task) -> bool {
    tables.services().get(&task.service).is_some_and(|service| service.spec.labels.contains_key(super::begin::JOB))
}

/// What a service's task holds, but for devices.
fn held(task: &Task) -> Amount {
    let resources = &task.spec.container.resources;
    Amount { nano_cpus: resources.reserved_nano_cpus.unwrap_or(0), memory: resources.reserved_memory.unwrap_or(0) }
}
