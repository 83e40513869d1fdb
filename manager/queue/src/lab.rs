//! The machines, what of them is free, and an index by which the node that fits best is found at once.

use std::{collections::BTreeSet, sync::Arc};

use crate::{Machine, Placement, Room, Shape, Spread, Want};

/// A machine.
#[derive(Debug, Clone, Default)]
pub struct Node {
    pub name: String,
    /// All that can be had of it; devices that are set aside cannot.
    pub total: Room,
    /// What is not taken by anything but jobs.
    pub free: Room,
    /// Whether it takes new jobs: it is up, and not drained or paused.
    pub ready: bool,
    /// Its devices: a place in [`Lab::machines`].
    pub machine: usize,
}

/// Nodes by how much of something is free.
type Index = Vec<BTreeSet<usize>>;

/// More free devices than this are as good as so many, for the order of nodes.
const MANY: usize = 1024;

/// All machines.
#[derive(Debug, Clone)]
pub struct Lab {
    /// All that the jobs want of devices.
    pub wants: Arc<Vec<Want>>,
    pub machines: Arc<Vec<Machine>>,
    nodes: Vec<Node>,
    /// What jobs can have of each node at most.
    most: Arc<Vec<Room>>,
    /// By whole devices, then by each want; those that nobody asks are not kept.
    indexes: Vec<Option<Index>>,
}

/// By what nodes are looked up: the devices of which most are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leading {
    index: usize,
    /// For each task.
    count: u32,
}

impl Lab {
    /// Nodes are known by their place in `nodes`.
    pub fn new(wants: Vec<Want>, machines: Vec<Machine>, nodes: Vec<Node>) -> Self {
        let most = nodes.iter().map(|node| node.free.clone()).collect();
        let indexes = vec![Some(Index::new()); wants.len() + 1];
        let mut lab =
            Self { wants: Arc::new(wants), machines: Arc::new(machines), nodes, most: Arc::new(most), indexes };
        lab.fill();
        lab
    }

    /// The same, in which only jobs that are looked up alike are to be placed: changes cost less.
    pub(crate) fn only(&self, leading: Leading) -> Self {
        let keep = |(place, index): (usize, &Option<Index>)| index.clone().filter(|_| place == leading.index);
        Self {
            wants: self.wants.clone(),
            machines: self.machines.clone(),
            nodes: self.nodes.clone(),
            most: self.most.clone(),
            indexes: self.indexes.iter().enumerate().map(keep).collect(),
        }
    }

    fn fill(&mut self) {
        for place in 0..self.nodes.len() {
            for index in 0..self.indexes.len() {
                let bucket = self.bucket(index, place);
                put(self.indexes[index].as_mut(), bucket, place);
            }
        }
    }

    /// How much of what an index is about is free on a node.
    fn bucket(&self, index: usize, place: usize) -> usize {
        let node = &self.nodes[place];
        let Some(machine) = self.machines.get(node.machine) else { return 0 };
        let free = match index.checked_sub(1) {
            None => machine.whole(&node.free.parts),
            Some(want) => machine.supply(want, &node.free.parts),
        };
        (free as usize).min(MANY)
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node(&self, place: usize) -> &Node {
        &self.nodes[place]
    }

    /// By what nodes for such a job are looked up.
    pub(crate) fn leading(&self, shape: &Shape) -> Leading {
        let count = |want: usize| self.wants.get(want).map_or(0, |want| want.count);
        let most = shape.wants.iter().copied().max_by_key(|want| (count(*want), usize::MAX - want));
        most.map_or(Leading { index: 0, count: 0 }, |want| Leading { index: want + 1, count: count(want) })
    }

    fn buckets(&self, leading: Leading) -> &[BTreeSet<usize>] {
        self.indexes.get(leading.index).and_then(Option::as_ref).map_or(&[], Vec::as_slice)
    }

    /// Nodes with enough free devices for so many tasks, as far as that is known beforehand, those with the fewest
    /// first: what leaves the large holes whole.
    pub(crate) fn tightest(&self, leading: Leading, tasks: u32) -> impl Iterator<Item = usize> {
        let least = (leading.count.saturating_mul(tasks) as usize).min(MANY);
        self.buckets(leading).get(least..).unwrap_or(&[]).iter().flatten().copied()
    }

    /// Nodes with enough free devices for one task, as far as that is known beforehand, those with the most first.
    pub(crate) fn widest(&self, leading: Leading) -> impl Iterator<Item = usize> {
        let least = (leading.count as usize).min(MANY);
        self.buckets(leading).get(least..).unwrap_or(&[]).iter().rev().flatten().copied()
    }

    /// Puts as many tasks on a node as there is room for, `most` at most.
    pub(crate) fn place(&self, shape: &Shape, node: usize, room: &Room, most: u32) -> Placement {
        let mut tasks = shape.each.times_in(&room.amount, most);
        let mut picks = Vec::new();
        let mut parts = Vec::new();
        if !shape.wants.is_empty() {
            let mut free = room.parts.clone();
            let machine = self.machines.get(self.nodes[node].machine);
            let bound = tasks;
            tasks = (0..bound)
                .take_while(|task| {
                    machine.is_some_and(|machine| machine.take(&shape.wants, *task, &mut free, &mut picks))
                })
                .fold(0, |count, _| count + 1);
            parts = room.parts.iter().zip(&free).map(|(before, after)| before - after).collect();
        }
        let takes = match shape.spread {
            Spread::WholeNodes => self.nodes[node].total.clone(),
            Spread::Packed | Spread::OneNode => Room { amount: shape.each.times(tasks), parts },
        };
        Placement { node, tasks, takes, picks }
    }

    pub(crate) fn take(&mut self, node: usize, room: &Room) {
        let free = self.nodes[node].free.minus(room);
        self.set_free(node, free);
    }

    pub(crate) fn release(&mut self, node: usize, room: &Room) {
        // More than all cannot be free, whatever records say.
        let free = self.nodes[node].free.plus(room).least(&self.most[node]);
        self.set_free(node, free);
    }

    /// Sets aside what jobs that run hold; a node that is gone has nothing to set aside.
    pub(crate) fn take_all(&mut self, on: &[Placement]) {
        let known = self.nodes.len();
        for placement in on.iter().filter(|placement| placement.node < known) {
            self.take(placement.node, &placement.takes);
        }
    }

    pub(crate) fn release_all(&mut self, on: &[Placement]) {
        let known = self.nodes.len();
        for placement in on.iter().filter(|placement| placement.node < known) {
            self.release(placement.node, &placement.takes);
        }
    }

    fn set_free(&mut self, place: usize, free: Room) {
        if free.parts == self.nodes[place].free.parts {
            self.nodes[place].free = free;
            return;
        }
        let kept: Vec<usize> = (0..self.indexes.len()).filter(|index| self.indexes[*index].is_some()).collect();
        let before: Vec<usize> = kept.iter().map(|index| self.bucket(*index, place)).collect();
        self.nodes[place].free = free;
        for (index, old) in kept.into_iter().zip(before) {
            let new = self.bucket(index, place);
            if old != new {
                if let Some(set) = self.indexes[index].as_mut().and_then(|buckets| buckets.get_mut(old)) {
                    set.remove(&place);
                }
                put(self.indexes[index].as_mut(), new, place);
            }
        }
    }
}

fn put(index: Option<&mut Index>, bucket: usize, place: usize) {
    let Some(buckets) = index else { return };
    if buckets.len() <= bucket {
        buckets.resize(bucket + 1, BTreeSet::new());
    }
    buckets[bucket].insert(place);
}
