//! A synthetic month of a lab, replayed under three rules: first come, first served; the same with gaps filled; and
//! Hoist's own. Then the cost of single passes over a full queue.
//!
//! `cargo run --release -p hoist-queue --example month [-- --nodes N --jobs N --users N --seed N]`; without jobs, the
//! passes alone.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // its output is what it is for

use std::{collections::BTreeMap, env, time::Instant};

use hoist_queue::{
    Account, Amount, Choice, Input, Lab, Machine, Millis, Node, Partition, Policy, Quotas, Room, Running, Shape,
    Spread, Usage, Usages, Waiting, Want, plan,
};

const HOUR: Millis = 3_600_000;
const MONTH: Millis = 30 * 24 * HOUR;
const HALF_LIFE: Millis = 7 * 24 * HOUR;

/// Numbers that look random and are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn unit(&mut self) -> f64 {
        self.below(1 << 53) as f64 / (1_u64 << 53) as f64
    }
}

struct Setup {
    nodes: usize,
    jobs: usize,
    users: u64,
    seed: u64,
}

impl Setup {
    fn read() -> Self {
        let mut setup = Self { nodes: 100, jobs: 15_500, users: 200, seed: 7 };
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            let value: u64 = words.next().and_then(|value| value.parse().ok()).expect("every option has a number");
            match word.as_str() {
                "--nodes" => setup.nodes = value as usize,
                "--jobs" => setup.jobs = value as usize,
                "--users" => setup.users = value,
                "--seed" => setup.seed = value,
                other => panic!("unknown option {other}; there are --nodes, --jobs, --users and --seed"),
            }
        }
        setup
    }
}

/// Of which model the GPUs of a node are, how many it has, and in how many parts each can be had.
const MACHINES: &[(&str, u32, u32)] = &[("a", 4, 1), ("a", 4, 2), ("b", 4, 1), ("b", 8, 1)];

/// Tasks, GPUs for each, which ones (any, of a model, half of one), and of a hundred jobs how many are so.
const MIX: &[(u32, u32, &str, u64)] = &[
    (1, 1, "", 30),
    (1, 1, "a", 10),
    (1, 1, "b", 7),
    (1, 1, "half", 8),
    (1, 2, "", 10),
    (1, 2, "b", 5),
    (1, 4, "", 14),
    (1, 8, "b", 6),
    (2, 4, "", 5),
    (4, 4, "a", 3),
    (2, 8, "", 2),
];

fn wants() -> Vec<Want> {
    let want = |(_, count, which, _): &(u32, u32, &str, u64)| {
        let what = if which.is_empty() { "gpu".to_owned() } else { format!("gpu ({which})") };
        Want { count: *count, what, weight: if *which == "half" { 0.5 } else { 1.0 } }
    };
    MIX.iter().map(want).collect()
}

fn machine((model, gpus, shares): &(&str, u32, u32)) -> Machine {
    let offer = |(_, count, which, _): &(u32, u32, &str, u64)| {
        let shared = *which == "half";
        let will_do = *gpus >= *count && if shared { *shares > 1 } else { which.is_empty() || which == model };
        let parts = (0..*gpus as usize).map(|gpu| (gpu, if shared { 1 } else { *shares })).collect();
        will_do.then_some(Choice { count: *count as usize, shared, parts }).into_iter().collect()
    };
    Machine {
        shares: vec![*shares; *gpus as usize],
        links: Vec::new(),
        offers: MIX.iter().map(offer).collect(),
        most: vec![*gpus; MIX.len()],
    }
}

fn lab(nodes: usize) -> Lab {
    let nodes = (0..nodes)
        .map(|place| {
            // Four, four, four and eight: five a node.
            let machine = place % MACHINES.len();
            let (_, gpus, shares) = MACHINES[machine];
            let amount = Amount { nano_cpus: 64_000_000_000, memory: 512 << 30 };
            let total = Room { amount, parts: vec![shares; gpus as usize] };
            Node { name: format!("node{place}"), free: total.clone(), total, ready: true, machine }
        })
        .collect();
    Lab::new(wants(), MACHINES.iter().map(machine).collect(), nodes)
}

fn shapes() -> Vec<Shape> {
    let shape = |(want, (tasks, gpus, ..)): (usize, &(u32, u32, &str, u64))| {
        let each = Amount { nano_cpus: u64::from(*gpus) * 6_000_000_000, memory: u64::from(*gpus) * (32 << 30) };
        Shape { tasks: *tasks, each, wants: vec![want], spread: Spread::Packed, partition: 0, eligible: None }
    };
    MIX.iter().enumerate().map(shape).collect()
}

#[derive(Clone)]
struct Job {
    waiting: Waiting<u32>,
    runs: Millis,
}

/// Some users ask for far more than others, as people do.
fn month(setup: &Setup, shapes: &[Shape]) -> Vec<Job> {
    let mut dice = Dice(setup.seed.max(1));
    let mut jobs: Vec<Job> = (0..setup.jobs)
        .map(|_| {
            let mut draw = dice.below(100);
            let shape = MIX
                .iter()
                .position(|(.., share)| {
                    let here = draw < *share;
                    draw = draw.saturating_sub(*share);
                    here
                })
                .unwrap_or(0);
            // Minutes to two days, most of them short.
            let runs = (0.1 * 480_f64.powf(dice.unit()) * HOUR as f64) as Millis;
            let limit = (runs as f64 * (1.1 + 2.0 * dice.unit())) as Millis;
            let user = (setup.users as f64 * dice.unit().powi(3)) as u64;
            Job {
                waiting: Waiting {
                    id: 0,
                    account: Account { user: format!("u{user}"), project: Some(format!("p{}", user % 12)) },
                    priority: 0,
                    submitted: dice.below(MONTH),
                    shape,
                    limit: Some(limit),
                    blocked: None,
                    array: None,
                },
                runs,
            }
        })
        .collect();
    jobs.sort_by_key(|job| job.waiting.submitted);
    let demand: f64 = jobs.iter().map(|job| gpus(&shapes[job.waiting.shape]) * job.runs as f64).sum();
    println!(
        "{} jobs of {} users on {} nodes, {:.0} GPU hours asked for",
        jobs.len(),
        setup.users,
        setup.nodes,
        demand / HOUR as f64
    );
    for (id, job) in jobs.iter_mut().enumerate() {
        job.waiting.id = u32::try_from(id).unwrap();
    }
    jobs
}

fn gpus(shape: &Shape) -> f64 {
    let (tasks, gpus, which, _) = MIX[shape.wants[0]];
    f64::from(tasks * gpus) * if which == "half" { 0.5 } else { 1.0 }
}

fn replay(name: &str, policy: &Policy, lab: &Lab, shapes: &[Shape], jobs: &[Job]) {
    let all_gpus: usize = lab.nodes().iter().map(|node| node.total.parts.len()).sum();
    let partitions = [(Partition { name: "main".into(), ..Partition::default() }, vec![true; lab.nodes().len()])];
    let (mut waiting, mut running): (Vec<Waiting<u32>>, Vec<Running<u32>>) = (Vec::new(), Vec::new());
    let mut used: BTreeMap<Account, Usage> = BTreeMap::new();
    let mut ends: BTreeMap<(Millis, u32), ()> = BTreeMap::new();
    let mut next = 0;
    let (mut waits, mut busy, mut slowest) = (vec![0; jobs.len()], 0.0, 0.0_f64);
    let mut passes = 0;
    let began = Instant::now();
    while next < jobs.len() || !ends.is_empty() {
        let arrives = jobs.get(next).map_or(Millis::MAX, |job| job.waiting.submitted);
        let ends_at = ends.first_key_value().map_or(Millis::MAX, |((at, _), ())| *at);
        let now = arrives.min(ends_at);
        while let Some(job) = jobs.get(next).filter(|job| job.waiting.submitted <= now) {
            waiting.push(job.waiting.clone());
            next += 1;
        }
        while let Some(((at, id), ())) =
            ends.first_key_value().map(|(key, ())| (*key, ())).filter(|((at, _), ())| *at <= now)
        {
            ends.remove(&(at, id));
            let place = running.iter().position(|job| job.id == id).unwrap();
            let job = running.swap_remove(place);
            let hours = gpus(&shapes[job.shape]) * (at - job.started) as f64;
            used.entry(job.account).or_default().add(hours, at, HALF_LIFE);
            busy += hours.min(gpus(&shapes[job.shape]) * MONTH.saturating_sub(job.started) as f64);
        }
        let mut usages = Usages::default();
        for (account, usage) in &used {
            usages.add(account, usage.at(now, HALF_LIFE));
        }
        for job in &running {
            usages.add(&job.account, gpus(&shapes[job.shape]) * (now - job.started) as f64);
        }
        let input = Input {
            now,
            lab: lab.clone(),
            partitions: &partitions,
            shapes,
            waiting: &waiting,
            running: &running,
            usages: &usages,
            quotas: &Quotas::default(),
            bookings: &[],
            policy,
        };
        let before = Instant::now();
        let plan = plan(&input);
        slowest = slowest.max(before.elapsed().as_secs_f64());
        passes += 1;
        for start in plan.starts {
            let job = &jobs[start.id as usize];
            waits[start.id as usize] = now - job.waiting.submitted;
            ends.insert((now + job.runs, start.id), ());
            let Waiting { id, account, priority, limit, shape, array, .. } = job.waiting.clone();
            running.push(Running {
                id,
                account,
                priority,
                started: now,
                limit,
                shape,
                on: start.on,
                leaving: false,
                array,
            });
            waiting.retain(|other| other.id != start.id);
        }
    }
    report(name, shapes, jobs, &waits, busy / (all_gpus as f64 * MONTH as f64));
    println!("{:>38} passes, slowest {:.1} ms, {:.1} s in all", passes, slowest * 1e3, began.elapsed().as_secs_f64());
}

/// A fair queue shows in how long those wait who ask for little beside those who ask for much: the half of the users
/// with the least GPU hours, and the tenth with the most.
fn report(name: &str, shapes: &[Shape], jobs: &[Job], waits: &[Millis], used: f64) {
    let mut asked: BTreeMap<&str, f64> = BTreeMap::new();
    for job in jobs {
        *asked.entry(&job.waiting.account.user).or_default() += gpus(&shapes[job.waiting.shape]) * job.runs as f64;
    }
    let mut users: Vec<(&str, f64)> = asked.into_iter().collect();
    users.sort_by(|one, other| one.1.total_cmp(&other.1));
    let mean_of = |users: &[(&str, f64)]| {
        let of: Vec<Millis> = jobs
            .iter()
            .zip(waits)
            .filter(|(job, _)| users.iter().any(|(user, _)| *user == job.waiting.account.user))
            .map(|(_, wait)| *wait)
            .collect();
        of.iter().sum::<Millis>() as f64 / of.len().max(1) as f64 / HOUR as f64
    };
    let (light, heavy) = (mean_of(&users[..users.len() / 2]), mean_of(&users[users.len() - users.len() / 10..]));
    let mean = waits.iter().sum::<Millis>() as f64 / waits.len() as f64 / HOUR as f64;
    let mut sorted = waits.to_vec();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2] as f64 / HOUR as f64;
    println!(
        "{name:<20} mean wait {mean:6.2} h, median {median:6.2} h, light users {light:6.2} h, heavy users {heavy:6.2} h, \
         used {:5.1} %",
        used * 100.0
    );
}

/// 2,000 nodes with 10,000 GPUs and 100,000 jobs that wait: what one pass costs.
fn full_queue(shapes: &[Shape]) {
    let setup = Setup { nodes: 2_000, jobs: 100_000, users: 200, seed: 11 };
    let lab = lab(setup.nodes);
    let partitions = [(Partition { name: "main".into(), ..Partition::default() }, vec![true; setup.nodes])];
    let mut waiting: Vec<_> = month(&setup, shapes).into_iter().map(|job| job.waiting).collect();
    let mut running: Vec<Running<u32>> = Vec::new();
    let mut started_all = 0.0;
    for pass in ["first, an empty lab", "second, a full lab", "third, a hundredth of it free"] {
        if pass.starts_with("third") {
            let keep = running.len() - running.len() / 100;
            running.truncate(keep);
        }
        let input = Input {
            now: MONTH,
            lab: lab.clone(),
            partitions: &partitions,
            shapes,
            waiting: &waiting,
            running: &running,
            usages: &Usages::default(),
            quotas: &Quotas::default(),
            bookings: &[],
            policy: &Policy::default(),
        };
        let before = Instant::now();
        let without = plan(&Input { policy: &Policy { forecast: false, ..Policy::default() }, ..input.clone() });
        let bare = before.elapsed().as_secs_f64();
        let before = Instant::now();
        let plan = plan(&input);
        let took = before.elapsed().as_secs_f64();
        assert_eq!(without.starts, plan.starts);
        println!(
            "pass ({pass}): {:.1} ms, {:.1} ms without forecasts, {} start, {} wait",
            took * 1e3,
            bare * 1e3,
            plan.starts.len(),
            plan.stays.len()
        );
        started_all += plan.starts.len() as f64 / took;
        let starts: BTreeMap<u32, Vec<_>> = plan.starts.into_iter().map(|start| (start.id, start.on)).collect();
        for job in waiting.extract_if(.., |job| starts.contains_key(&job.id)) {
            let Waiting { id, account, priority, limit, shape, array, .. } = job;
            let on = starts[&id].clone();
            running.push(Running { id, account, priority, started: MONTH, limit, shape, on, leaving: false, array });
        }
    }
    println!("starts a second of passes: {:.0} on average", started_all / 3.0);
}

fn main() {
    let setup = Setup::read();
    let shapes = shapes();
    if setup.jobs > 0 {
        let jobs = month(&setup, &shapes);
        let lab = lab(setup.nodes);
        // Nobody asks for the forecasts.
        let hoist = Policy { forecast: false, ..Policy::default() };
        let fifo = Policy { fair: false, backfill: false, aging: 0, ..hoist };
        replay("first come", &fifo, &lab, &shapes, &jobs);
        replay("first come, filled", &Policy { backfill: true, ..fifo }, &lab, &shapes, &jobs);
        replay("hoist", &hoist, &lab, &shapes, &jobs);
    }
    full_queue(&shapes);
}
