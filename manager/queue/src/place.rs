//! Where a job fits: on which nodes, as tightly as can be, without being in anybody's way.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{Account, Amount, Booking, Lab, Millis, Placement, Room, Shape, Spread, lab::Leading};

/// Nodes that are kept for the first in line from a moment on, and what is left there beside it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hold {
    pub(crate) from: Millis,
    pub(crate) spare: BTreeMap<usize, Room>,
}

/// What a job must respect.
pub(crate) struct Rules<'a> {
    /// The partition's nodes.
    pub(crate) members: &'a [bool],
    /// What is kept for those ahead, in whichever partition they wait.
    pub(crate) holds: &'a [&'a Hold],
    pub(crate) bookings: &'a [Booking],
    pub(crate) account: &'a Account,
    pub(crate) now: Millis,
    /// When the job has ended at the latest.
    pub(crate) end: Millis,
}

impl Rules<'_> {
    /// What the job may take of a node.
    fn room<'l>(&self, lab: &'l Lab, shape: &Shape, place: usize) -> Option<Cow<'l, Room>> {
        let node = lab.node(place);
        let allowed = node.ready
            && self.members.get(place).copied().unwrap_or(false)
            && shape.eligible.as_ref().is_none_or(|eligible| eligible.get(place).copied().unwrap_or(false))
            && !self
                .bookings
                .iter()
                .any(|booking| booking.excludes(self.account, self.now, self.end) && booking.nodes.contains(&place));
        if !allowed {
            return None;
        }
        let spare = self.holds.iter().filter(|hold| self.end > hold.from).filter_map(|hold| hold.spare.get(&place));
        Some(spare.fold(Cow::Borrowed(&node.free), |room, spare| Cow::Owned(room.least(spare))))
    }

    /// The nodes for a job of that shape, if it fits now.
    pub(crate) fn find(&self, lab: &Lab, shape: &Shape) -> Option<Vec<Placement>> {
        let leading = lab.leading(shape);
        match shape.spread {
            Spread::WholeNodes => self.find_whole(lab, shape, leading),
            Spread::OneNode => self.find_one(lab, shape, leading, shape.tasks, &[]).map(|one| vec![one]),
            Spread::Packed => self.find_packed(lab, shape, leading),
        }
    }

    fn find_one(
        &self,
        lab: &Lab,
        shape: &Shape,
        leading: Leading,
        tasks: u32,
        used: &[Placement],
    ) -> Option<Placement> {
        let wanted = shape.each.times(tasks);
        lab.tightest(leading, tasks).filter(|place| used.iter().all(|placement| placement.node != *place)).find_map(
            |place| {
                let room = self.room(lab, shape, place).filter(|room| wanted.fits(&room.amount))?;
                Some(lab.place(shape, place, &room, tasks)).filter(|placement| placement.tasks == tasks)
            },
        )
    }

    fn find_packed(&self, lab: &Lab, shape: &Shape, leading: Leading) -> Option<Vec<Placement>> {
        if let Some(one) = self.find_one(lab, shape, leading, shape.tasks, &[]) {
            return Some(vec![one]);
        }
        if shape.tasks < 2 {
            return None;
        }
        let mut left = shape.tasks;
        let mut on: Vec<Placement> = Vec::new();
        for place in lab.widest(leading) {
            let Some(room) = self.room(lab, shape, place) else { continue };
            let placement = lab.place(shape, place, &room, left);
            if placement.tasks == 0 {
                continue;
            }
            if placement.tasks == left {
                // The rest goes where it fits best.
                on.extend(self.find_one(lab, shape, leading, left, &on).or(Some(placement)));
                return Some(on);
            }
            left -= placement.tasks;
            on.push(placement);
        }
        None
    }

    fn find_whole(&self, lab: &Lab, shape: &Shape, leading: Leading) -> Option<Vec<Placement>> {
        let on: Vec<_> = lab
            .tightest(leading, 1)
            .filter(|place| self.room(lab, shape, *place).is_some_and(|room| *room == lab.node(*place).total))
            .map(|place| lab.place(shape, place, &lab.node(place).total, 1))
            .filter(|placement| placement.tasks == 1)
            .take(shape.tasks as usize)
            .collect();
        (on.len() == shape.tasks as usize).then_some(on)
    }

    /// Why it does not fit, in words.
    pub(crate) fn explain(&self, lab: &Lab, shape: &Shape) -> String {
        let whole = shape.spread == Spread::WholeNodes;
        let (mut unready, mut others, mut booked, mut small, mut busy) = (0_u32, 0_u32, 0_u32, 0_u32, 0_u32);
        for (place, node) in lab.nodes().iter().enumerate() {
            if !self.members.get(place).copied().unwrap_or(false) {
                continue;
            }
            if !node.ready {
                unready += 1;
            } else if shape.eligible.as_ref().is_some_and(|eligible| !eligible.get(place).copied().unwrap_or(false)) {
                others += 1;
            } else if lab.place(shape, place, &everything(lab, place), 1).tasks == 0 {
                small += 1;
            } else {
                match self.room(lab, shape, place) {
                    None => booked += 1,
                    Some(room) if whole && *room != node.total => busy += 1,
                    Some(room) if lab.place(shape, place, &room, 1).tasks == 0 => busy += 1,
                    Some(_) => {}
                }
            }
        }
        let nodes = |count: u32| if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
        let mut reasons = Vec::new();
        let mut say = |count: u32, one: &str, many: &str| {
            if count > 0 {
                reasons.push(format!("{} {}", nodes(count), if count == 1 { one } else { many }));
            }
        };
        say(busy, "has too little free", "have too little free");
        say(small, "is too small", "are too small");
        say(others, "does not meet the constraints", "do not meet the constraints");
        say(booked, "is reserved for others", "are reserved for others");
        say(unready, "is down or takes no new work", "are down or take no new work");
        let wanted = shape.words(lab, 1);
        let wanted = if shape.tasks > 1 { format!("{} tasks with {wanted} each", shape.tasks) } else { wanted };
        if reasons.is_empty() {
            format!("waits for {wanted}: too few nodes have that much free at once")
        } else {
            format!("waits for {wanted}: {}", reasons.join(", "))
        }
    }
}

/// All of a node, with what is set aside: it may return.
fn everything(lab: &Lab, place: usize) -> Room {
    let node = lab.node(place);
    let parts = lab.machines.get(node.machine).map_or_else(Vec::new, |machine| machine.shares.clone());
    Room { amount: node.total.amount, parts }
}

/// A request that no state of the lab can meet, and what comes near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Never {
    /// What is wanted and what there is at most.
    pub reason: String,
    /// What could be asked for instead.
    pub nearest: Option<String>,
}

/// Whether a job of that shape could run if nothing else did, on nodes that exist, up or not.
pub fn never(lab: &Lab, shape: &Shape, members: &[bool]) -> Option<Never> {
    let candidate = |place: &usize| {
        members.get(*place).copied().unwrap_or(false)
            && shape.eligible.as_ref().is_none_or(|eligible| eligible.get(*place).copied().unwrap_or(false))
    };
    let candidates: Vec<usize> = (0..lab.nodes().len()).filter(candidate).collect();
    if candidates.is_empty() {
        return Some(Never { reason: "no node meets the constraints".into(), nearest: None });
    }
    let together = if shape.spread == Spread::OneNode { shape.tasks } else { 1 };
    let fits = |place: usize, tasks: u32| lab.place(shape, place, &everything(lab, place), tasks).tasks;
    if !candidates.iter().any(|place| fits(*place, together) == together) {
        let nearest = candidates.iter().map(|place| nearest(lab, shape, *place, together));
        return Some(Never {
            reason: format!("no node has {}", shape.words(lab, together)),
            nearest: nearest
                .max_by_key(|near| (near.devices, near.amount.nano_cpus, near.amount.memory))
                .map(|near| near.text),
        });
    }
    let most = |place: &usize| match shape.spread {
        Spread::WholeNodes => fits(*place, 1),
        Spread::Packed | Spread::OneNode => fits(*place, shape.tasks),
    };
    let room: u32 = candidates.iter().map(most).fold(0, u32::saturating_add);
    (shape.spread != Spread::OneNode && room < shape.tasks).then(|| Never {
        reason: format!(
            "{} tasks with {} each are more than all nodes together can run",
            shape.tasks,
            shape.words(lab, 1)
        ),
        nearest: Some(format!("{room} such tasks")),
    })
}

/// What a node has of what is wanted.
struct Near {
    devices: u32,
    amount: Amount,
    text: String,
}

fn nearest(lab: &Lab, shape: &Shape, place: usize, tasks: u32) -> Near {
    let all = everything(lab, place);
    let amount = shape.each.times(tasks).least(&all.amount);
    let mut devices = 0;
    let mut parts = Vec::new();
    for place_of in &shape.wants {
        let Some((want, machine)) = lab.wants.get(*place_of).zip(lab.machines.get(lab.node(place).machine)) else {
            continue;
        };
        let there = machine.most.get(*place_of).copied().unwrap_or(0).min(want.count.saturating_mul(tasks));
        devices += there;
        parts.extend((there > 0).then(|| want.words(there)));
    }
    parts.extend(amount.words());
    let what = if parts.is_empty() { "nothing of it".to_owned() } else { parts.join(", ") };
    Near { devices, amount, text: format!("{what} on node {}", lab.node(place).name) }
}
