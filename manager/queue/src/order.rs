//! The order of the queue: priority, then fair share, then first come.
//!
//! Among projects the one that has used least of its share goes first, and in it the user who has; whoever has had
//! a turn is charged for it, so that users take turns also within one pass.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
};

use crate::{Account, Lab, Millis, Policy, Shape, Usages, Waiting};

/// What a job without a time limit is charged for beforehand.
const ASSUMED: Millis = 3_600_000;
/// How much of a device one processor is worth.
const PROCESSOR: f64 = 1.0 / 32.0;

/// What a job weighs against shares: its devices, and a little for processors.
pub(crate) fn weight(shape: &Shape, lab: &Lab) -> f64 {
    let processors = shape.each.nano_cpus as f64 / 1e9 * f64::from(shape.tasks);
    (shape.devices(lab) + processors * PROCESSOR).max(0.01)
}

/// A job's priority with what waiting has added.
pub(crate) fn aged<I>(job: &Waiting<I>, now: Millis, policy: &Policy) -> i32 {
    let steps = now.saturating_sub(job.submitted).checked_div(policy.aging).unwrap_or(0);
    job.priority.saturating_add(i32::try_from(steps).unwrap_or(i32::MAX).min(policy.aging_steps))
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Key {
    used: f64,
    share: f64,
    first: Millis,
    place: usize,
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (self.used / self.share, other.used / other.share);
        ours.total_cmp(&theirs).then(self.first.cmp(&other.first)).then(self.place.cmp(&other.place))
    }
}

struct User<'a> {
    account: &'a Account,
    jobs: VecDeque<usize>,
    charged: f64,
}

struct Project<'a> {
    heap: BinaryHeap<Reverse<Key>>,
    users: Vec<User<'a>>,
}

/// The places of the waiting jobs, in the order in which they are to start; `weights` are those of the shapes.
pub(crate) fn order<I>(
    waiting: &[Waiting<I>],
    weights: &[f64],
    usages: &Usages,
    now: Millis,
    policy: &Policy,
) -> Vec<usize> {
    let mut levels: BTreeMap<Reverse<i32>, Vec<usize>> = BTreeMap::new();
    for (place, job) in waiting.iter().enumerate() {
        levels.entry(Reverse(aged(job, now, policy))).or_default().push(place);
    }
    let mut ordered = Vec::with_capacity(waiting.len());
    // What was charged in this pass, over all levels.
    let mut usages = usages.clone();
    for (_, mut places) in levels {
        places.sort_by_key(|place| (waiting[*place].submitted, *place));
        if policy.fair {
            take_turns(waiting, weights, &mut usages, &places, &mut ordered);
        } else {
            ordered.extend(places);
        }
    }
    ordered
}

fn take_turns<I>(
    waiting: &[Waiting<I>],
    weights: &[f64],
    usages: &mut Usages,
    places: &[usize],
    ordered: &mut Vec<usize>,
) {
    // Most jobs are of few accounts: their names are looked at once for each, and compared only between them.
    let mut by_account: HashMap<&Account, VecDeque<usize>> = HashMap::new();
    for place in places {
        by_account.entry(&waiting[*place].account).or_default().push_back(*place);
    }
    let mut groups: BTreeMap<Option<&String>, BTreeMap<&Account, VecDeque<usize>>> = BTreeMap::new();
    for (account, jobs) in by_account {
        groups.entry(account.project.as_ref()).or_default().insert(account, jobs);
    }
    let mut projects: Vec<Project<'_>> = Vec::new();
    let mut heap = BinaryHeap::new();
    let first_of = |jobs: &VecDeque<usize>| jobs.front().map_or(Millis::MAX, |place| waiting[*place].submitted);
    for (name, members) in groups {
        let mut project = Project { heap: BinaryHeap::new(), users: Vec::new() };
        let mut first = Millis::MAX;
        for (account, jobs) in members {
            let (used, share) = usages.of_user(account);
            first = first.min(first_of(&jobs));
            project.heap.push(Reverse(Key { used, share, first: first_of(&jobs), place: project.users.len() }));
            project.users.push(User { account, jobs, charged: 0.0 });
        }
        let (used, share) = usages.of_project(name);
        heap.push(Reverse(Key { used, share, first, place: projects.len() }));
        projects.push(project);
    }
    while let Some(Reverse(mut project_key)) = heap.pop() {
        let project = &mut projects[project_key.place];
        let Some(Reverse(mut key)) = project.heap.pop() else { continue };
        let user = &mut project.users[key.place];
        let Some(place) = user.jobs.pop_front() else { continue };
        ordered.push(place);
        let job = &waiting[place];
        let cost = weights[job.shape] * job.limit.unwrap_or(ASSUMED) as f64;
        user.charged += cost;
        key.used += cost;
        project_key.used += cost;
        if !user.jobs.is_empty() {
            key.first = first_of(&user.jobs);
            project.heap.push(Reverse(key));
        }
        if let Some(Reverse(next)) = project.heap.peek() {
            project_key.first = next.first;
            heap.push(Reverse(project_key));
        }
    }
    for user in projects.iter().flat_map(|project| &project.users) {
        usages.add(user.account, user.charged);
    }
}
