//! Where a job fits: on which nodes, as tightly as can be, without being in anybody's way.

use std::collections::BTreeMap;

use crate::{Account, Amount, Booking, Lab, Millis, Placement, Shape, Spread};

/// Nodes that are kept for the first in line from a moment on, and what is left there beside it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hold {
    pub(crate) from: Millis,
    pub(crate) spare: BTreeMap<usize, Amount>,
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
    fn room(&self, lab: &Lab, shape: &Shape, place: usize) -> Option<Amount> {
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
        Some(spare.fold(node.free, |room, spare| room.least(spare)))
    }

    /// The nodes for a job of that shape, if it fits now.
    pub(crate) fn find(&self, lab: &Lab, shape: &Shape) -> Option<Vec<Placement>> {
        let kind = leading_kind(&shape.each);
        match shape.spread {
            Spread::WholeNodes => self.find_whole(lab, shape, kind),
            Spread::OneNode => self.find_one(lab, shape, kind, shape.tasks, &[]).map(|one| vec![one]),
            Spread::Packed => self.find_packed(lab, shape, kind),
        }
    }

    fn find_one(&self, lab: &Lab, shape: &Shape, kind: usize, tasks: u32, used: &[Placement]) -> Option<Placement> {
        let wanted = shape.each.times(tasks);
        lab.tightest(kind, wanted.devices[kind])
            .find(|place| {
                used.iter().all(|placement| placement.node != *place)
                    && self.room(lab, shape, *place).is_some_and(|room| wanted.fits(&room))
            })
            .map(|node| Placement { node, tasks })
    }

    fn find_packed(&self, lab: &Lab, shape: &Shape, kind: usize) -> Option<Vec<Placement>> {
        if let Some(one) = self.find_one(lab, shape, kind, shape.tasks, &[]) {
            return Some(vec![one]);
        }
        if shape.tasks < 2 {
            return None;
        }
        let mut left = shape.tasks;
        let mut on: Vec<Placement> = Vec::new();
        for place in lab.widest(kind) {
            let Some(room) = self.room(lab, shape, place) else { continue };
            let tasks = shape.each.times_in(&room, left);
            if tasks == 0 {
                continue;
            }
            if tasks == left {
                // The rest goes where it fits best.
                on.extend(self.find_one(lab, shape, kind, left, &on).or(Some(Placement { node: place, tasks })));
                return Some(on);
            }
            left -= tasks;
            on.push(Placement { node: place, tasks });
        }
        None
    }

    fn find_whole(&self, lab: &Lab, shape: &Shape, kind: usize) -> Option<Vec<Placement>> {
        let on: Vec<_> = lab
            .tightest(kind, shape.each.devices[kind])
            .filter(|place| {
                let total = &lab.node(*place).total;
                shape.each.fits(total) && self.room(lab, shape, *place).is_some_and(|room| room == *total)
            })
            .take(shape.tasks as usize)
            .map(|node| Placement { node, tasks: 1 })
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
            } else if !shape.each.fits(&node.total) {
                small += 1;
            } else {
                match self.room(lab, shape, place) {
                    None => booked += 1,
                    Some(room) if !shape.each.fits(&room) || (whole && room != node.total) => busy += 1,
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
        let wanted = shape.each.words(&lab.classes);
        let wanted = if shape.tasks > 1 { format!("{} tasks with {wanted} each", shape.tasks) } else { wanted };
        if reasons.is_empty() {
            format!("waits for {wanted}: too few nodes have that much free at once")
        } else {
            format!("waits for {wanted}: {}", reasons.join(", "))
        }
    }
}

/// The kind of device by which nodes are looked up: the one of which most are wanted.
fn leading_kind(each: &Amount) -> usize {
    let mut leading = 0;
    for (kind, count) in each.devices.iter().enumerate() {
        if *count > each.devices[leading] {
            leading = kind;
        }
    }
    leading
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
    let candidates: Vec<_> = (0..lab.nodes().len()).filter(candidate).map(|place| lab.node(place)).collect();
    let each = shape.each.words(&lab.classes);
    if candidates.is_empty() {
        return Some(Never { reason: "no node meets the constraints".into(), nearest: None });
    }
    let one_task = match shape.spread {
        Spread::OneNode => shape.each.times(shape.tasks),
        Spread::Packed | Spread::WholeNodes => shape.each,
    };
    if !candidates.iter().any(|node| one_task.fits(&node.total)) {
        let nearest = candidates.iter().max_by_key(|node| {
            let met = one_task.least(&node.total);
            (met.all_devices(), met.nano_cpus, met.memory)
        });
        let wanted = one_task.words(&lab.classes);
        return Some(Never {
            reason: format!("no node has {wanted}"),
            nearest: nearest
                .map(|node| format!("{} on node {}", one_task.least(&node.total).words(&lab.classes), node.name)),
        });
    }
    let whole = shape.spread == Spread::WholeNodes;
    let most = |node: &&crate::Node| {
        if whole { u32::from(shape.each.fits(&node.total)) } else { shape.each.times_in(&node.total, shape.tasks) }
    };
    let room: u32 = candidates.iter().map(most).fold(0, u32::saturating_add);
    (shape.spread != Spread::OneNode && room < shape.tasks).then(|| Never {
        reason: format!("{} tasks with {each} each are more than all nodes together can run", shape.tasks),
        nearest: Some(format!("{room} such tasks")),
    })
}
