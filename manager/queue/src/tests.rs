#![allow(clippy::unwrap_used)]
//! Plans of small labs, read as text.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::*;

const HOUR: Millis = 3_600_000;
const NOW: Millis = 1_000 * HOUR;

/// A lab of nodes with so many GPUs each, and one partition of all of them.
struct Bench {
    lab: Lab,
    partitions: Vec<(Partition, Vec<bool>)>,
    shapes: Vec<Shape>,
    waiting: Vec<Waiting<String>>,
    running: Vec<Running<String>>,
    usages: Usages,
    quotas: Quotas,
    bookings: Vec<Booking>,
    policy: Policy,
}

fn cpus(count: u32) -> Amount {
    Amount { nano_cpus: u64::from(count) * 1_000_000_000, ..Amount::default() }
}

/// The most GPUs that a job of these tests asks for.
const MOST: u32 = 9;

/// The wants for 1 to [`MOST`] GPUs, and what of a node with so many they could have.
fn wants() -> Vec<Want> {
    (1..=MOST).map(|count| Want { count, what: "gpu".into(), weight: 1.0 }).collect()
}

fn machine(gpus: u32) -> Machine {
    let all: Vec<(usize, u32)> = (0..gpus as usize).map(|device| (device, 1)).collect();
    let choices = |want: Want| {
        let enough = want.count <= gpus;
        let choice = Choice { count: want.count as usize, shared: false, parts: all.clone() };
        enough.then_some(choice).into_iter().collect()
    };
    Machine {
        shares: vec![1; gpus as usize],
        links: Vec::new(),
        offers: wants().into_iter().map(choices).collect(),
        most: vec![gpus; MOST as usize],
    }
}

fn node(name: &str, machine: usize, parts: Vec<u32>) -> Node {
    let total = Room { amount: Amount { nano_cpus: 64_000_000_000, memory: 1 << 40 }, parts };
    Node { name: name.into(), free: total.clone(), total, ready: true, machine }
}

/// One task with so many GPUs.
fn shape(count: u32) -> Shape {
    Shape {
        tasks: 1,
        each: cpus(count),
        wants: vec![count as usize - 1],
        spread: Spread::Packed,
        partition: 0,
        eligible: None,
    }
}

impl Bench {
    fn new(nodes: &[u32]) -> Self {
        let made =
            nodes.iter().enumerate().map(|(place, count)| node(&format!("n{place}"), place, vec![1; *count as usize]));
        Self::of(Lab::new(wants(), nodes.iter().map(|count| machine(*count)).collect(), made.collect()))
    }

    fn of(lab: Lab) -> Self {
        let members = vec![true; lab.nodes().len()];
        Self {
            lab,
            partitions: vec![(Partition { name: "main".into(), ..Partition::default() }, members)],
            shapes: Vec::new(),
            waiting: Vec::new(),
            running: Vec::new(),
            usages: Usages::default(),
            quotas: Quotas::default(),
            bookings: Vec::new(),
            policy: Policy::default(),
        }
    }

    fn gpus(&mut self, tasks: u32, count: u32, spread: Spread) -> usize {
        self.shape(Shape { tasks, spread, ..shape(count) })
    }

    fn shape(&mut self, shape: Shape) -> usize {
        self.shapes.iter().position(|known| *known == shape).unwrap_or_else(|| {
            self.shapes.push(shape);
            self.shapes.len() - 1
        })
    }

    fn wait(&mut self, id: &str, user: &str, count: u32, hours: Option<u64>) -> &mut Waiting<String> {
        let shape = self.gpus(1, count, Spread::Packed);
        self.wait_for(id, user, shape, hours)
    }

    fn wait_for(&mut self, id: &str, user: &str, shape: usize, hours: Option<u64>) -> &mut Waiting<String> {
        self.waiting.push(Waiting {
            id: id.into(),
            account: Account { user: user.into(), project: None },
            priority: 0,
            submitted: NOW - HOUR + self.waiting.len() as u64,
            shape,
            limit: hours.map(|hours| hours * HOUR),
            blocked: None,
            array: None,
        });
        self.waiting.last_mut().unwrap()
    }

    fn run(&mut self, id: &str, user: &str, node: usize, count: u32, ends_in: Option<u64>) -> &mut Running<String> {
        let shape = self.gpus(1, count, Spread::Packed);
        // The first devices of the node that nobody has yet.
        let mut parts = self.lab.nodes()[node].total.parts.clone();
        for placement in self.running.iter().flat_map(|job| &job.on).filter(|placement| placement.node == node) {
            placement.takes.parts.iter().zip(&mut parts).for_each(|(taken, left)| *left -= taken);
        }
        let mut wanted = count;
        for left in &mut parts {
            *left = (*left).min(wanted);
            wanted -= *left;
        }
        let takes = Room { amount: cpus(count), parts };
        self.running.push(Running {
            id: id.into(),
            account: Account { user: user.into(), project: None },
            priority: 0,
            started: NOW - HOUR,
            limit: ends_in.map(|hours| (hours + 1) * HOUR),
            shape,
            on: vec![Placement { node, tasks: 1, takes, picks: Vec::new() }],
            leaving: false,
            array: None,
        });
        self.running.last_mut().unwrap()
    }

    fn plan(&self) -> Plan<String> {
        plan(&Input {
            now: NOW,
            lab: self.lab.clone(),
            partitions: &self.partitions,
            shapes: &self.shapes,
            waiting: &self.waiting,
            running: &self.running,
            usages: &self.usages,
            quotas: &self.quotas,
            bookings: &self.bookings,
            policy: &self.policy,
        })
    }

    fn text(&self) -> String {
        let plan = self.plan();
        let mut text = String::new();
        for start in &plan.starts {
            let on: Vec<_> =
                start.on.iter().map(|p| format!("{}x{}", self.lab.nodes()[p.node].name, p.tasks)).collect();
            let gap = if start.backfilled { " in a gap" } else { "" };
            writeln!(text, "start {} on {}{gap}", start.id, on.join(" ")).unwrap();
        }
        for (gone, comes) in &plan.preempt {
            writeln!(text, "{gone} gives way to {comes}").unwrap();
        }
        for stay in &plan.stays {
            let at = stay.expected.map_or(String::new(), |at| format!(", expected in {} h", (at - NOW) / HOUR));
            writeln!(text, "{} waits: {}{at}", stay.id, stay.reason).unwrap();
        }
        text
    }
}

#[test]
fn small_jobs_fill_holes_and_leave_whole_nodes() {
    let mut bench = Bench::new(&[8, 8]);
    bench.run("old", "ann", 0, 5, None);
    bench.wait("two", "ann", 2, None);
    bench.wait("eight", "bob", 8, None);
    assert_eq!(bench.text(), "start two on n0x1\nstart eight on n1x1\n");
}

#[test]
fn a_gap_is_filled_only_by_what_delays_nobody() {
    let mut bench = Bench::new(&[4]);
    bench.run("old", "ann", 0, 2, Some(3));
    bench.wait("big", "ann", 4, Some(10)).priority = 1;
    bench.wait("short", "bob", 1, Some(3));
    bench.wait("long", "bob", 1, Some(4));
    assert_eq!(
        bench.text(),
        "start short on n0x1 in a gap\n\
         big waits: waits for 4 gpu, 4 CPUs: 1 node has too little free, expected in 3 h\n\
         long waits: behind big: what is free is too little or kept for it, expected in 13 h\n"
    );
}

#[test]
fn long_jobs_may_use_what_the_first_in_line_leaves() {
    let mut bench = Bench::new(&[4, 2]);
    bench.run("old", "ann", 0, 2, Some(3));
    bench.run("other", "ann", 1, 1, Some(1));
    bench.wait("big", "ann", 3, None).priority = 1;
    // One of node n0 is left beside `big`, and n1 is nobody's.
    bench.wait("one", "bob", 1, None);
    bench.wait("two", "bob", 1, None);
    bench.wait("three", "bob", 1, None);
    assert_eq!(
        bench.text(),
        "start one on n1x1 in a gap\n\
         start two on n0x1 in a gap\n\
         big waits: waits for 3 gpu, 3 CPUs: 1 node has too little free, 1 node is too small, expected in 3 h\n\
         three waits: behind big: what is free is too little or kept for it, expected in 3 h\n"
    );
}

#[test]
fn without_backfill_the_line_stands_still() {
    let mut bench = Bench::new(&[4]);
    bench.policy.backfill = false;
    bench.run("old", "ann", 0, 2, Some(3));
    bench.wait("big", "ann", 4, Some(10)).priority = 1;
    bench.wait("short", "bob", 1, Some(1));
    assert!(!bench.text().contains("start"));
}

#[test]
fn users_take_turns_and_who_used_less_goes_first() {
    let mut bench = Bench::new(&[3]);
    bench.usages.add(&Account { user: "ann".into(), project: None }, 5.0 * HOUR as f64);
    for id in ["a1", "a2", "a3"] {
        bench.wait(id, "ann", 1, Some(1));
    }
    for id in ["b1", "b2"] {
        bench.wait(id, "bob", 1, Some(1));
    }
    assert_eq!(bench.plan().starts.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["b1", "b2", "a1"]);
    bench.usages = Usages::default();
    assert_eq!(bench.plan().starts.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["a1", "b1", "a2"]);
    bench.usages.share_of_user("bob", 4);
    assert_eq!(bench.plan().starts.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["a1", "b1", "b2"]);
    bench.policy.fair = false;
    assert_eq!(bench.plan().starts.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["a1", "a2", "a3"]);
}

#[test]
fn a_gang_starts_whole_or_not_at_all() {
    let mut bench = Bench::new(&[4, 4, 4]);
    bench.run("old", "ann", 0, 1, Some(2));
    let gang = bench.gpus(5, 2, Spread::Packed);
    let more = bench.gpus(6, 2, Spread::Packed);
    bench.wait_for("six", "ann", more, Some(1)).priority = 1;
    bench.wait_for("five", "bob", gang, Some(1));
    assert_eq!(
        bench.text(),
        "start five on n1x2 n2x2 n0x1 in a gap\n\
         six waits: waits for 6 tasks with 2 gpu, 2 CPUs each: too few nodes have that much free at once, expected in 2 h\n"
    );
}

#[test]
fn whole_nodes_are_shared_with_nobody() {
    let mut bench = Bench::new(&[4, 4]);
    bench.run("old", "ann", 0, 1, Some(2));
    let whole = bench.gpus(1, 1, Spread::WholeNodes);
    bench.wait_for("alone", "ann", whole, Some(1));
    bench.wait_for("also", "bob", whole, Some(1));
    bench.wait("one", "bob", 1, Some(1));
    assert_eq!(
        bench.text(),
        "start alone on n1x1\nstart one on n0x1 in a gap\n\
         also waits: waits for 1 gpu, 1 CPUs: 2 nodes have too little free, expected in 1 h\n"
    );
}

#[test]
fn the_least_and_the_latest_give_way() {
    let mut bench = Bench::new(&[4]);
    bench.partitions[0].0.preemption = Preemption::Requeue;
    bench.run("early", "ann", 0, 2, None).started -= HOUR;
    bench.run("late", "ann", 0, 1, None);
    bench.run("worthy", "ann", 0, 1, None).priority = 1;
    bench.wait("urgent", "bob", 2, None).priority = 5;
    bench.wait("small", "bob", 1, None);
    assert_eq!(
        bench.text(),
        "early gives way to urgent\n\
         urgent waits: jobs of lower priority are giving way to it, expected in 0 h\n\
         small waits: behind urgent: what is free is too little or kept for it\n"
    );
    bench.running[0].leaving = true;
    assert!(!bench.text().contains("gives way"), "nobody else has to go: {}", bench.text());
}

#[test]
fn quotas_arrays_and_blocks_keep_only_their_own_back() {
    let mut bench = Bench::new(&[8]);
    bench.quotas.users.insert("ann".into(), Quota { devices: Some(2), ..Quota::default() });
    bench.wait("a1", "ann", 2, None);
    bench.wait("a2", "ann", 1, None);
    bench.wait("held", "bob", 1, None).blocked = Some("held".into());
    for id in ["x1", "x2"] {
        bench.wait(id, "eve", 1, None).array = Some(Array { of: "x".into(), at_once: 1 });
    }
    assert_eq!(
        bench.text(),
        "start a1 on n0x1\nstart x1 on n0x1\n\
         held waits: held\n\
         x2 waits: 1 of its array run, and no more may at once\n\
         a2 waits: quota of user ann: 2 of 2 devices are held\n"
    );
    assert!(bench.quotas.forbid(&bench.waiting[0].account, &shape(3), &bench.lab).unwrap().contains("2 devices"));
}

#[test]
fn booked_nodes_are_left_in_time() {
    let mut bench = Bench::new(&[4]);
    let class = Booking {
        name: "class".into(),
        nodes: vec![0],
        from: NOW + 2 * HOUR,
        until: NOW + 4 * HOUR,
        users: vec!["eve".into()],
        projects: Vec::new(),
    };
    bench.bookings.push(class);
    bench.wait("short", "ann", 1, Some(2));
    bench.wait("long", "bob", 1, Some(3));
    bench.wait("hers", "eve", 1, Some(3));
    assert_eq!(
        bench.text(),
        "start short on n0x1\nstart hers on n0x1\n\
         long waits: waits for 1 gpu, 1 CPUs: 1 node is reserved for others\n"
    );
}

#[test]
fn what_can_never_be_is_told_with_what_could() {
    let bench = Bench::new(&[4, 8]);
    let ask = |tasks, count, spread| never(&bench.lab, &Shape { tasks, spread, ..shape(count) }, &[true, true]);
    assert_eq!(ask(1, 8, Spread::Packed), None);
    let one = ask(1, 9, Spread::Packed).unwrap();
    assert_eq!(
        (one.reason.as_str(), one.nearest.as_deref()),
        ("no node has 9 gpu, 9 CPUs", Some("8 gpu, 9 CPUs on node n1"))
    );
    let gang = ask(7, 2, Spread::Packed).unwrap();
    assert_eq!(gang.nearest.as_deref(), Some("6 such tasks"));
    assert!(ask(2, 4, Spread::WholeNodes).is_none());
    assert!(ask(5, 2, Spread::OneNode).is_some());
}

#[test]
fn old_use_fades() {
    let mut usage = Usage::default();
    usage.add(100.0, NOW, HOUR);
    assert!((usage.at(NOW + 2 * HOUR, HOUR) - 25.0).abs() < 1e-9);
    usage.add(0.0, NOW - HOUR, HOUR);
    assert_eq!(usage.at, NOW, "a clock that went back adds nothing and moves nothing");
}

#[test]
fn all_in_line_are_told_when_they_start() {
    let mut bench = Bench::new(&[4]);
    bench.run("old", "ann", 0, 4, Some(2));
    for (id, gpus, hours) in [("a", 4, Some(3)), ("b", 2, Some(1)), ("c", 2, None), ("d", 4, Some(1))] {
        bench.wait(id, "ann", gpus, hours);
    }
    let plan = bench.plan();
    let told: Vec<_> =
        plan.stays.iter().map(|stay| (stay.id.as_str(), stay.expected.map(|at| (at - NOW) / HOUR))).collect();
    // `c` has no limit, so nobody knows when all four are free again.
    assert_eq!(told, [("a", Some(2)), ("b", Some(5)), ("c", Some(5)), ("d", None)]);
}

/// A lab of devices of two models, of which those of the second can be shared by four.
fn typed(nodes: &[(u32, u32)]) -> Bench {
    let wants =
        [("any", 1, 1.0), ("any", 2, 1.0), ("one", 1, 1.0), ("two", 2, 1.0), ("half", 1, 0.5), ("quarter", 2, 0.25)];
    let machine = |(ones, twos): &(u32, u32)| {
        let all = (0..*ones + twos).map(|device| (device as usize, if device < *ones { 1 } else { 4 }));
        let offer = |(what, count, _): &(&str, u32, f64)| {
            let parts: Vec<_> = all
                .clone()
                .filter(|(device, _)| match *what {
                    "any" => true,
                    "one" => *device < *ones as usize,
                    _ => *device >= *ones as usize,
                })
                .map(|(device, shares)| {
                    (
                        device,
                        match *what {
                            "half" => 2,
                            "quarter" => 1,
                            _ => shares,
                        },
                    )
                })
                .collect();
            let shared = matches!(*what, "half" | "quarter");
            let choice = Choice { count: *count as usize, shared, parts };
            (choice.parts.len() >= choice.count).then_some(choice).into_iter().collect()
        };
        let shares = all.clone().map(|(_, shares)| shares).collect();
        Machine { shares, links: Vec::new(), offers: wants.iter().map(offer).collect(), most: Vec::new() }
    };
    let machines: Vec<Machine> = nodes.iter().map(machine).collect();
    let made =
        machines.iter().enumerate().map(|(place, machine)| node(&format!("n{place}"), place, machine.shares.clone()));
    let made = made.collect();
    let wants = wants.map(|(what, count, weight)| Want { count, what: what.into(), weight });
    Bench::of(Lab::new(wants.to_vec(), machines, made))
}

#[test]
fn devices_of_a_model_and_shares_are_given_to_those_who_ask_for_them() {
    let mut bench = typed(&[(1, 1)]);
    for (id, wants) in [("any+one", vec![0, 2]), ("half", vec![4]), ("one", vec![2])] {
        let shape = bench.shape(Shape { wants, each: Amount::default(), ..shape(1) });
        bench.wait_for(id, "ann", shape, Some(1));
    }
    let plan = bench.plan();
    assert_eq!(plan.starts.len(), 1, "{}", bench.text());
    // The second want can have the first device only; the first takes what is left.
    let picks: Vec<_> = plan.starts[0].on[0].picks.iter().map(|pick| (pick.want, pick.device, pick.parts)).collect();
    assert_eq!(picks, [(1, 0, 1), (0, 1, 4)]);
    assert!(bench.text().contains("half waits: waits for 1 half: 1 node has too little free, expected in 1 h"));
}

proptest! {
    /// Devices of several models and shares: nobody gets more of a device than there is, or one that will not do;
    /// tasks are whole; and who was promised a moment fits then.
    #[test]
    fn devices_are_given_once_and_to_whom_they_suit(
        nodes in prop::collection::vec((0_u32..4, 0_u32..3), 1..5),
        jobs in prop::collection::vec((prop::collection::vec(0_usize..6, 1..3), 1_u32..4, 0_u64..5, 0_i32..3), 1..30),
        later in prop::collection::vec((prop::collection::vec(0_usize..6, 1..3), 1_u32..3, 0_u64..5, 0_i32..3), 1..20),
        requeue: bool,
    ) {
        let mut bench = typed(&nodes);
        if requeue {
            bench.partitions[0].0.preemption = Preemption::Requeue;
        }
        let mut taken: Vec<Vec<u32>> = bench.lab.nodes().iter().map(|node| vec![0; node.total.parts.len()]).collect();
        for (round, jobs) in [jobs, later].into_iter().enumerate() {
            for (index, (wants, tasks, hours, priority)) in jobs.iter().enumerate() {
                let shape = bench.shape(Shape { tasks: *tasks, wants: wants.clone(), each: cpus(1), ..shape(1) });
                let limit = (*hours > 0).then_some(*hours);
                bench.wait_for(&format!("{round}.{index}"), "u", shape, limit).priority = *priority;
            }
            let plan = bench.plan();
            for start in &plan.starts {
                let place = bench.waiting.iter().position(|job| job.id == start.id).unwrap();
                let job = bench.waiting.remove(place);
                let shape = bench.shapes[job.shape].clone();
                prop_assert_eq!(start.on.iter().map(|p| p.tasks).sum::<u32>(), shape.tasks);
                for placement in &start.on {
                    let machine = &bench.lab.machines[bench.lab.nodes()[placement.node].machine];
                    for task in 0..placement.tasks {
                        for (place, want) in shape.wants.iter().enumerate() {
                            let has: Vec<_> = placement.picks.iter().filter(|p| (p.task, p.want) == (task, place)).collect();
                            let choice = &machine.offers[*want][0];
                            prop_assert_eq!(has.len(), choice.count);
                            for (index, pick) in has.iter().enumerate() {
                                prop_assert!(choice.parts.contains(&(pick.device, pick.parts)));
                                prop_assert!(has[..index].iter().all(|other| other.device != pick.device));
                            }
                        }
                    }
                    for pick in &placement.picks {
                        taken[placement.node][pick.device] += pick.parts;
                        prop_assert!(taken[placement.node][pick.device] <= machine.shares[pick.device]);
                    }
                }
                bench.running.push(Running {
                    id: job.id, account: job.account, priority: job.priority, started: NOW, limit: job.limit,
                    shape: job.shape, on: start.on.clone(), leaving: false, array: None,
                });
            }
            let first = plan.stays.iter().find_map(|stay| match stay.reason {
                Reason::First(_) => Some((stay.id.clone(), stay.expected?)),
                _ => None,
            });
            if let Some((id, at)) = first {
                let waiting = vec![bench.waiting.iter().find(|job| job.id == id).unwrap().clone()];
                let running = bench.running.iter().filter(|job| job.end() > at).cloned().collect();
                let (lab, partitions, shapes) = (bench.lab.clone(), bench.partitions.clone(), bench.shapes.clone());
                let then = Bench { lab, partitions, shapes, waiting, running, ..typed(&[]) };
                prop_assert_eq!(plan_at(&then, at).starts.len(), 1, "{} was promised", id);
            }
        }
    }

    /// Whatever waits and runs: nothing is given twice, gangs are whole, and the first in line is not delayed.
    #[test]
    fn plans_hold_together(
        nodes in prop::collection::vec(1_u32..9, 1..6),
        jobs in prop::collection::vec((1_u32..9, 1_u32..4, 0_u64..6, 0_i32..3, 0_u8..3), 1..40),
        busy in prop::collection::vec((0_usize..6, 1_u32..5, 0_u64..6), 0..8),
        requeue: bool,
    ) {
        let mut bench = Bench::new(&nodes);
        if requeue {
            bench.partitions[0].0.preemption = Preemption::Requeue;
        }
        let mut free = nodes.clone();
        for (index, (node, count, hours)) in busy.iter().enumerate() {
            let node = node % nodes.len();
            if free[node] >= *count {
                free[node] -= count;
                bench.run(&format!("r{index}"), "old", node, *count, (*hours > 0).then_some(*hours));
            }
        }
        for (index, (count, tasks, hours, priority, user)) in jobs.iter().enumerate() {
            let shape = bench.gpus(*tasks, *count, Spread::Packed);
            let limit = (*hours > 0).then_some(*hours);
            bench.wait_for(&format!("w{index}"), &format!("u{user}"), shape, limit).priority = *priority;
        }
        let plan = bench.plan();
        prop_assert_eq!(plan.starts.len() + plan.stays.len(), jobs.len());
        let expected_first = plan.stays.iter().find_map(|stay| match stay.reason {
            Reason::First(_) => Some((stay.id.clone(), stay.expected?)),
            _ => None,
        });
        let mut running = bench.running.clone();
        for start in &plan.starts {
            let job = bench.waiting.iter().find(|job| job.id == start.id).unwrap();
            let shape = &bench.shapes[job.shape];
            prop_assert_eq!(start.on.iter().map(|p| p.tasks).sum::<u32>(), shape.tasks);
            for placement in &start.on {
                let taken = placement.takes.parts.iter().sum::<u32>();
                prop_assert_eq!(taken, (shape.wants[0] as u32 + 1) * placement.tasks);
                prop_assert!(free[placement.node] >= taken, "{} of {} are free", free[placement.node], taken);
                free[placement.node] -= taken;
            }
            running.push(Running {
                id: job.id.clone(), account: job.account.clone(), priority: job.priority, started: NOW,
                limit: job.limit, shape: job.shape, on: start.on.clone(), leaving: false, array: None,
            });
        }
        // At the promised moment, with all gone whose time is up, the first in line fits.
        if let Some((id, at)) = expected_first {
            let job = bench.waiting.iter().find(|job| job.id == id).unwrap().clone();
            running.retain(|other| other.end() > at);
            let then = Bench { running, waiting: vec![job], ..Bench { lab: bench.lab.clone(), ..bench } };
            let plan = plan_at(&then, at);
            prop_assert_eq!(plan.starts.len(), 1, "{} was promised", id);
        }
    }
}

fn plan_at(bench: &Bench, now: Millis) -> Plan<String> {
    plan(&Input {
        now,
        lab: bench.lab.clone(),
        partitions: &bench.partitions,
        shapes: &bench.shapes,
        waiting: &bench.waiting,
        running: &bench.running,
        usages: &bench.usages,
        quotas: &bench.quotas,
        bookings: &bench.bookings,
        policy: &bench.policy,
    })
}
