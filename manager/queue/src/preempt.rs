//! Which jobs give way to one of higher priority: those of the lowest priority, and of them those that began last,
//! and no more than it takes.

use std::cmp::Reverse;

use crate::{
    Lab, Placement, Room, Running, Shape,
    place::{Hold, Rules},
};

/// The places of the jobs that are to go, and the nodes that are kept for the one that comes.
pub(crate) struct Victims {
    pub(crate) jobs: Vec<usize>,
    pub(crate) hold: Hold,
}

/// Finds room for a job of `priority` among jobs of lower priority in its partition.
pub(crate) fn victims<I>(
    lab: &Lab,
    shapes: &[Shape],
    shape: &Shape,
    rules: &Rules<'_>,
    priority: i32,
    running: &[Running<I>],
) -> Option<Victims> {
    let leading = lab.leading(shape);
    let mut lab = lab.only(leading);
    for job in running.iter().filter(|job| job.leaving) {
        lab.release_all(&job.on);
    }
    let mut lower: Vec<usize> = running
        .iter()
        .enumerate()
        .filter(|(_, job)| !job.leaving && job.priority < priority && shapes[job.shape].partition == shape.partition)
        .map(|(place, _)| place)
        .collect();
    lower.sort_by_key(|place| (running[*place].priority, Reverse(running[*place].started)));
    let after = |count: usize| {
        let mut lab = lab.only(leading);
        for place in &lower[..count] {
            lab.release_all(&running[*place].on);
        }
        rules.find(&lab, shape)
    };
    after(lower.len())?;
    let (mut low, mut high) = (0, lower.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if after(middle).is_some() {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let on = after(low)?;
    let jobs = needed(&lab, running, &lower[..low], &on);
    Some(Victims { jobs, hold: keep(&lab, running, &lower[..low], &on, rules.now) })
}

/// Of the jobs that could go, those on the chosen nodes without which it does not fit there.
fn needed<I>(lab: &Lab, running: &[Running<I>], lower: &[usize], on: &[Placement]) -> Vec<usize> {
    let touches =
        |place: &usize| running[*place].on.iter().any(|theirs| on.iter().any(|ours| ours.node == theirs.node));
    let mut going: Vec<usize> = lower.iter().copied().filter(touches).collect();
    let fits = |going: &[usize]| {
        on.iter().all(|placement| {
            let back = given_back(running, going, placement.node);
            placement.takes.fits(&lab.node(placement.node).free.plus(&back))
        })
    };
    // The most worthy of those that were to go is spared first.
    for index in (0..going.len()).rev() {
        let spared = going.remove(index);
        if !fits(&going) {
            going.insert(index, spared);
        }
    }
    going
}

fn given_back<I>(running: &[Running<I>], going: &[usize], node: usize) -> Room {
    going
        .iter()
        .flat_map(|place| &running[*place].on)
        .filter(|placement| placement.node == node)
        .fold(Room::default(), |sum, placement| sum.plus(&placement.takes))
}

/// Nothing that outlasts this moment may take what becomes free.
fn keep<I>(lab: &Lab, running: &[Running<I>], lower: &[usize], on: &[Placement], now: crate::Millis) -> Hold {
    let spare = on
        .iter()
        .map(|placement| {
            let free = lab.node(placement.node).free.plus(&given_back(running, lower, placement.node));
            (placement.node, free.minus(&placement.takes))
        })
        .collect();
    Hold { from: now, spare }
}
