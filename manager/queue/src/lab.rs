//! The machines, what of them is free, and an index by which the node that fits best is found at once.

use std::collections::BTreeSet;

use crate::{Amount, Classes, Placement, Shape, Spread};

/// A machine.
#[derive(Debug, Clone, Default)]
pub struct Node {
    pub name: String,
    /// All that it has.
    pub total: Amount,
    /// What is not taken by anything but jobs.
    pub free: Amount,
    /// Whether it takes new jobs: it is up, and not drained or paused.
    pub ready: bool,
}

/// All machines.
#[derive(Debug, Clone)]
pub struct Lab {
    pub classes: Classes,
    nodes: Vec<Node>,
    /// For each kind of device, the nodes by how many are free.
    by_free: Vec<Vec<BTreeSet<usize>>>,
}

impl Lab {
    /// Nodes are known by their place in `nodes`.
    pub fn new(classes: Classes, nodes: Vec<Node>) -> Self {
        let mut lab = Self { classes, nodes, by_free: Vec::new() };
        lab.index();
        lab
    }

    fn index(&mut self) {
        let kinds = (0..crate::CLASSES).rev().find(|kind| self.nodes.iter().any(|node| node.total.devices[*kind] > 0));
        self.by_free = (0..=kinds.unwrap_or(0))
            .map(|kind| {
                let most = self.nodes.iter().map(|node| node.free.devices[kind].max(node.total.devices[kind])).max();
                let mut buckets = vec![BTreeSet::new(); most.unwrap_or(0) as usize + 1];
                for (place, node) in self.nodes.iter().enumerate() {
                    buckets[node.free.devices[kind] as usize].insert(place);
                }
                buckets
            })
            .collect();
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node(&self, place: usize) -> &Node {
        &self.nodes[place]
    }

    /// Nodes with at least `least` free devices of a kind, those with the fewest first: what leaves the large holes
    /// whole.
    pub(crate) fn tightest(&self, kind: usize, least: u32) -> impl Iterator<Item = usize> {
        let buckets = self.by_free.get(kind).map_or(&[][..], |buckets| buckets.get(least as usize..).unwrap_or(&[]));
        buckets.iter().flatten().copied()
    }

    /// Nodes with free devices of a kind, those with the most first.
    pub(crate) fn widest(&self, kind: usize) -> impl Iterator<Item = usize> {
        self.by_free.get(kind).into_iter().flat_map(|buckets| buckets.iter().rev().flatten().copied())
    }

    /// What a placement takes of its node.
    pub(crate) fn taken(&self, shape: &Shape, placement: &Placement) -> Amount {
        match shape.spread {
            Spread::WholeNodes => self.nodes.get(placement.node).map_or(Amount::default(), |node| node.total),
            Spread::Packed | Spread::OneNode => shape.each.times(placement.tasks),
        }
    }

    pub(crate) fn take(&mut self, node: usize, amount: &Amount) {
        self.set_free(node, |free| free.minus(amount));
    }

    pub(crate) fn release(&mut self, node: usize, amount: &Amount) {
        self.set_free(node, |free| free.plus(amount));
    }

    /// Sets aside what jobs that run hold; a node that is gone has nothing to set aside.
    pub(crate) fn take_all(&mut self, shape: &Shape, on: &[Placement]) {
        let known = self.nodes.len();
        for placement in on.iter().filter(|placement| placement.node < known) {
            let amount = self.taken(shape, placement);
            self.take(placement.node, &amount);
        }
    }

    pub(crate) fn release_all(&mut self, shape: &Shape, on: &[Placement]) {
        let known = self.nodes.len();
        for placement in on.iter().filter(|placement| placement.node < known) {
            let amount = self.taken(shape, placement);
            self.release(placement.node, &amount);
        }
    }

    fn set_free(&mut self, place: usize, change: impl FnOnce(&Amount) -> Amount) {
        let node = &mut self.nodes[place];
        let before = node.free;
        // More than all cannot be free, whatever records say.
        node.free = change(&before).least(&node.total);
        for (kind, buckets) in self.by_free.iter_mut().enumerate() {
            let (old, new) = (before.devices[kind] as usize, node.free.devices[kind] as usize);
            if old != new {
                buckets[old].remove(&place);
                buckets[new].insert(place);
            }
        }
    }
}
