//! One pass: who starts where, who gives way, and why the others wait.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    hash::Hash,
};

use crate::{
    Account, Booking, Lab, Millis, NEVER, Partition, Placement, Policy, Preemption, Quotas, Running, Shape, Usages,
    Waiting,
    forecast::{InLine, forecast},
    order::{order, weight},
    place::{Hold, Rules},
    preempt::victims,
    quota::Ledger,
    shadow::{Release, hold, releases},
};

/// All that a pass looks at.
#[derive(Debug, Clone)]
pub struct Input<'a, I> {
    pub now: Millis,
    /// With nothing taken by jobs.
    pub lab: Lab,
    /// With the nodes of each, by their place in the lab.
    pub partitions: &'a [(Partition, Vec<bool>)],
    pub shapes: &'a [Shape],
    pub waiting: &'a [Waiting<I>],
    pub running: &'a [Running<I>],
    pub usages: &'a Usages,
    pub quotas: &'a Quotas,
    pub bookings: &'a [Booking],
    pub policy: &'a Policy,
}

/// What is to happen.
#[derive(Debug, Clone)]
pub struct Plan<I> {
    pub starts: Vec<Start<I>>,
    /// Jobs that give way, each with the one that it gives way to.
    pub preempt: Vec<(I, I)>,
    /// The jobs that wait on, in the order of the queue.
    pub stays: Vec<Stay<I>>,
}

/// A job that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start<I> {
    pub id: I,
    pub on: Vec<Placement>,
    /// It fills a gap before one that is ahead of it.
    pub backfilled: bool,
}

/// A job that waits on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay<I> {
    pub id: I,
    pub reason: Reason<I>,
    /// When it is expected to start, as far as this pass can tell.
    pub expected: Option<Millis>,
}

/// Why a job waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason<I> {
    /// Whatever is free: it is held, or waits for another job or a time.
    Blocked(String),
    /// So many of its array run already.
    ArrayFull(u32),
    Quota(String),
    /// It is the first in line of its partition; why it does not fit.
    First(String),
    /// Jobs of lower priority give way to it: those that have yet to be told.
    GivenWay(Vec<I>),
    /// What is free is too little, or kept for the one ahead.
    Behind(I),
}

impl<I: fmt::Display> fmt::Display for Reason<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked(why) | Self::Quota(why) | Self::First(why) => f.write_str(why),
            Self::ArrayFull(most) => write!(f, "{most} of its array run, and no more may at once"),
            Self::GivenWay(_) => f.write_str("jobs of lower priority are giving way to it"),
            Self::Behind(first) => write!(f, "behind {first}: what is free is too little or kept for it"),
        }
    }
}

/// Why a job waits, and until when.
type Outcome<I> = (Reason<I>, Option<Millis>);

/// What is known of a partition while the pass goes on.
struct Line<I> {
    first: I,
    hold: Hold,
}

/// A job that starts in this very pass, for the forecast of the first in line.
struct Started {
    at: Millis,
    on: Vec<Placement>,
}

/// Jobs that fit or do not fit alike: of one shape and, where nodes are reserved for some, of one account.
type Group<'a> = (usize, Option<&'a Account>);

/// Makes the plan.
pub fn plan<I: Clone + Eq + Hash + Ord>(input: &Input<'_, I>) -> Plan<I> {
    Pass::new(input).run()
}

struct Pass<'a, I> {
    input: &'a Input<'a, I>,
    lab: Lab,
    /// How many devices the tasks of each shape have together.
    devices: Vec<f64>,
    ledger: Ledger<'a>,
    arrays: HashMap<&'a I, u32>,
    lines: BTreeMap<usize, Line<I>>,
    started: Vec<Started>,
    /// What did not fit once does not fit later in the pass either: what is free only shrinks.
    failed: HashSet<(Group<'a>, usize)>,
    /// What does not fit even if all jobs had ended, and why.
    hopeless: HashMap<Group<'a>, Reason<I>>,
    out: Plan<I>,
}

impl<'a, I: Clone + Eq + Hash + Ord> Pass<'a, I> {
    fn new(input: &'a Input<'a, I>) -> Self {
        let mut lab = input.lab.clone();
        let devices: Vec<f64> = input.shapes.iter().map(|shape| shape.devices(&lab)).collect();
        let mut ledger = Ledger::new(input.quotas);
        let mut arrays: HashMap<&I, u32> = HashMap::new();
        for job in input.running {
            lab.take_all(&job.on);
            ledger.take(&job.account, devices[job.shape]);
            if let Some(array) = &job.array {
                *arrays.entry(&array.of).or_default() += 1;
            }
        }
        Self {
            input,
            lab,
            devices,
            ledger,
            arrays,
            lines: BTreeMap::new(),
            started: Vec::new(),
            failed: HashSet::new(),
            hopeless: HashMap::new(),
            out: Plan { starts: Vec::new(), preempt: Vec::new(), stays: Vec::with_capacity(input.waiting.len()) },
        }
    }

    fn run(mut self) -> Plan<I> {
        let input = self.input;
        let weights: Vec<f64> = input.shapes.iter().map(|shape| weight(shape, &input.lab)).collect();
        let mut waits = Vec::new();
        for place in order(input.waiting, &weights, input.usages, input.now, input.policy) {
            let job = &input.waiting[place];
            if let Err((reason, expected)) = self.consider(job) {
                if let Reason::GivenWay(gone) = &reason {
                    self.out.preempt.extend(gone.iter().map(|gone| (gone.clone(), job.id.clone())));
                }
                self.out.stays.push(Stay { id: job.id.clone(), reason, expected });
                waits.push(job);
            }
        }
        if input.policy.forecast {
            self.forecast(&waits);
        }
        self.out
    }

    /// Says when those behind the first in line are expected to start; `waits` are the jobs of the answers.
    fn forecast(&mut self, waits: &[&'a Waiting<I>]) {
        let input = self.input;
        let mut lines: BTreeMap<usize, Vec<InLine<'_>>> = BTreeMap::new();
        for (stay, job) in waits.iter().enumerate() {
            let answer = &self.out.stays[stay];
            let in_line = match &answer.reason {
                Reason::First(_) | Reason::GivenWay(_) => answer.expected.is_some(),
                Reason::Behind(_) => true,
                Reason::Blocked(_) | Reason::ArrayFull(_) | Reason::Quota(_) => false,
            };
            if in_line {
                let shape = &input.shapes[job.shape];
                let (account, limit, expected) = (&job.account, job.limit, answer.expected);
                let one = InLine { stay, shape, account, limit, expected };
                lines.entry(shape.partition).or_default().push(one);
            }
        }
        if lines.values().all(|line| line.len() < 2) {
            return;
        }
        let releases = self.releases();
        let releases: Vec<_> = releases.iter().map(|release| (release.at, release.on)).collect();
        let mut answers = Vec::new();
        for (partition, line) in lines.iter().filter(|(_, line)| line.len() > 1) {
            let members = &input.partitions[*partition].1;
            answers.extend(forecast(self.lab.clone(), members, input.bookings, line, &releases, input.now));
        }
        for (stay, at) in answers {
            self.out.stays[stay].expected = Some(at);
        }
    }

    /// What is given back when, by jobs that run and by those that start in this pass.
    fn releases(&self) -> Vec<Release<'_>> {
        let mut all = releases(self.input.running, self.input.now);
        all.extend(self.started.iter().map(|started| Release { at: started.at, on: &started.on }));
        all.sort_by_key(|release| release.at);
        all
    }

    /// Starts the job, or says why it waits.
    fn consider(&mut self, job: &'a Waiting<I>) -> Result<(), Outcome<I>> {
        let input = self.input;
        if let Some(why) = &job.blocked {
            return Err((Reason::Blocked(why.clone()), None));
        }
        if let Some(array) = &job.array
            && array.at_once > 0
            && self.arrays.get(&array.of).copied().unwrap_or(0) >= array.at_once
        {
            return Err((Reason::ArrayFull(array.at_once), None));
        }
        let shape = &input.shapes[job.shape];
        if let Some(why) = self.ledger.refuses(&job.account, self.devices[job.shape]) {
            return Err((Reason::Quota(why), None));
        }
        let group = self.group(job.shape, &job.account);
        if let Some(why) = self.hopeless.get(&group) {
            return Err((why.clone(), None));
        }
        let line = self.lines.get(&shape.partition);
        if let Some(line) = line.filter(|_| !input.policy.backfill) {
            return Err((Reason::Behind(line.first.clone()), None));
        }
        let end = job.limit.map_or(NEVER, |limit| input.now.saturating_add(limit));
        let key = (group, self.end_class(end));
        if let Some(line) = line.filter(|_| self.failed.contains(&key)) {
            return Err((Reason::Behind(line.first.clone()), None));
        }
        let members = &input.partitions[shape.partition].1;
        let holds: Vec<&Hold> = self.lines.values().map(|line| &line.hold).collect();
        let rules =
            Rules { members, holds: &holds, bookings: input.bookings, account: &job.account, now: input.now, end };
        if let Some(on) = rules.find(&self.lab, shape) {
            let backfilled = line.is_some();
            self.start(job, on, end, backfilled);
            return Ok(());
        }
        if let Some(line) = line {
            let first = line.first.clone();
            self.failed.insert(key);
            return Err((Reason::Behind(first), None));
        }
        let (outcome, line) = self.first_in_line(job, shape, &rules);
        if let Some(line) = line {
            self.lines.insert(shape.partition, line);
        } else {
            self.hopeless.insert(group, outcome.0.clone());
        }
        // What failed before was asked with no regard to the hold.
        self.failed.clear();
        Err(outcome)
    }

    fn start(&mut self, job: &'a Waiting<I>, on: Vec<Placement>, end: Millis, backfilled: bool) {
        self.lab.take_all(&on);
        for hold in self.lines.values_mut().map(|line| &mut line.hold).filter(|hold| end > hold.from) {
            // What was left beside the first in line is less now.
            for placement in &on {
                if let Some(spare) = hold.spare.get_mut(&placement.node) {
                    *spare = spare.minus(&placement.takes);
                }
            }
        }
        self.ledger.take(&job.account, self.devices[job.shape]);
        if let Some(array) = &job.array {
            *self.arrays.entry(&array.of).or_default() += 1;
        }
        self.started.push(Started { at: end, on: on.clone() });
        self.out.starts.push(Start { id: job.id.clone(), on, backfilled });
    }

    /// The first that does not fit: others give way to it, or its nodes are kept for it.
    fn first_in_line(&self, job: &Waiting<I>, shape: &Shape, rules: &Rules<'_>) -> (Outcome<I>, Option<Line<I>>) {
        let input = self.input;
        let partition = &input.partitions[shape.partition].0;
        let line = |hold| Line { first: job.id.clone(), hold };
        if partition.preemption == Preemption::Requeue
            && let Some(found) = victims(&self.lab, input.shapes, shape, rules, job.priority, input.running)
        {
            let gone = found.jobs.iter().map(|place| input.running[*place].id.clone()).collect();
            return ((Reason::GivenWay(gone), Some(input.now)), Some(line(found.hold)));
        }
        let all = self.releases();
        let why = Reason::First(rules.explain(&self.lab, shape));
        match hold(&self.lab, shape, rules, job.limit, &all) {
            Some((at, kept)) => ((why, (at < NEVER).then_some(at)), Some(line(kept))),
            // Nodes are down or reserved: nothing can be kept for it, so it keeps nobody waiting.
            None => ((why, None), None),
        }
    }

    fn group(&self, shape: usize, account: &'a Account) -> Group<'a> {
        (shape, (!self.input.bookings.is_empty()).then_some(account))
    }

    /// Two jobs of one shape that end on the same side of every date fit or do not fit alike.
    fn end_class(&self, end: Millis) -> usize {
        let holds = self.lines.values().map(|line| line.hold.from);
        let dates = holds.chain(self.input.bookings.iter().map(|booking| booking.from));
        dates.filter(|date| end > *date).count()
    }
}
