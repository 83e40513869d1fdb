//! The nodes that tasks which ask for the same may have, kept in the order in which they are chosen.
//!
//! What depends on a node alone is looked at once, when the group is made. After that a task costs the logarithm of the
//! nodes: the first of the heap is taken, looked at again, and put back where it now belongs.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
};

use hoist_proto::spec::PlacementStrategy;

use crate::{
    Needs, NodeState,
    constraint::attribute,
    filter::{FILTERS, Kind, first_failed},
};

/// How good a node is for the group's next task; the least is the best.
type Score = (u64, u64, u64, u32);

/// Nodes for tasks that ask for the same.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    needs: Needs,
    root: Branch,
    /// How many nodes each condition has turned down.
    pub(crate) rejected: Vec<u32>,
    /// Tasks of the service by node.
    mine: HashMap<u32, u32>,
    /// The snapshot's count of placements when the heaps were right.
    pub(crate) as_of: u64,
}

#[derive(Debug, Clone)]
enum Branch {
    /// By the value of a preference's attribute: the tasks of the service there, and what is below.
    Fork(BTreeMap<String, (u64, Branch)>),
    Leaf(BinaryHeap<Reverse<Score>>),
}

impl Group {
    /// Looks at every node.
    pub(crate) fn new(needs: Needs, nodes: &[NodeState], mine: HashMap<u32, u32>) -> Self {
        let mut rejected = vec![0; FILTERS.len()];
        let mut fit = Vec::new();
        for (index, state) in (0_u32..).zip(nodes) {
            match first_failed(&[Kind::Presence, Kind::Fitness], &needs, state, 0) {
                Some(first) => rejected[first] += 1,
                None => fit.push(index),
            }
        }
        let mut group = Self { needs, root: Branch::Leaf(BinaryHeap::new()), rejected, mine, as_of: 0 };
        group.root = group.grow(nodes, fit, 0);
        group
    }

    /// The branch for these nodes, forked by the preferences from `level` on.
    fn grow(&self, nodes: &[NodeState], fit: Vec<u32>, level: usize) -> Branch {
        let Some(key) = self.needs.spread.get(level) else {
            return Branch::Leaf(fit.into_iter().map(|index| Reverse(self.score(nodes, index))).collect());
        };
        let mut by_value: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for index in fit {
            let value = attribute(key, &nodes[index as usize].node).unwrap_or_default();
            by_value.entry(value).or_default().push(index);
        }
        let fork = by_value.into_iter().map(|(value, fit)| {
            let sum = fit.iter().map(|index| u64::from(self.mine_on(*index))).sum();
            (value, (sum, self.grow(nodes, fit, level + 1)))
        });
        Branch::Fork(fork.collect())
    }

    fn mine_on(&self, index: u32) -> u32 {
        self.mine.get(&index).copied().unwrap_or(0)
    }

    fn score(&self, nodes: &[NodeState], index: u32) -> Score {
        let state = &nodes[index as usize];
        let free = state.node.description.memory.saturating_sub(state.memory);
        match self.needs.strategy {
            PlacementStrategy::Spread => (self.mine_on(index).into(), state.tasks.into(), u64::MAX - free, index),
            // The fullest that has room.
            PlacementStrategy::Binpack => {
                let cpus = state.node.description.nano_cpus.saturating_sub(state.nano_cpus);
                (free, cpus, u64::MAX - u64::from(state.tasks), index)
            }
        }
    }

    /// The best node that has room; it is still to be taken with [`Group::took`].
    pub(crate) fn choose(&mut self, nodes: &[NodeState]) -> Option<u32> {
        let mut root = std::mem::replace(&mut self.root, Branch::Leaf(BinaryHeap::new()));
        let chosen = self.choose_in(&mut root, nodes);
        self.root = root;
        chosen
    }

    fn choose_in(&mut self, branch: &mut Branch, nodes: &[NodeState]) -> Option<u32> {
        match branch {
            Branch::Leaf(heap) => loop {
                let Reverse(known) = heap.pop()?;
                let index = known.3;
                let now = self.score(nodes, index);
                if now > known {
                    heap.push(Reverse(now));
                    continue;
                }
                let state = &nodes[index as usize];
                match first_failed(&[Kind::Room], &self.needs, state, self.mine_on(index)) {
                    // Room only ever gets less while the group is valid.
                    Some(first) => self.rejected[first] += 1,
                    None => return Some(index),
                }
            },
            Branch::Fork(values) => loop {
                let best = values.iter().min_by_key(|(_, (sum, _))| *sum).map(|(value, _)| value.clone())?;
                let (sum, below) = values.get_mut(&best)?;
                if let Some(index) = self.choose_in(below, nodes) {
                    *sum += 1;
                    return Some(index);
                }
                values.remove(&best);
            },
        }
    }

    /// Puts the node that was chosen back, with what it has now.
    pub(crate) fn took(&mut self, nodes: &[NodeState], index: u32) {
        *self.mine.entry(index).or_default() += 1;
        let score = self.score(nodes, index);
        let mut branch = &mut self.root;
        for key in &self.needs.spread {
            let value = attribute(key, &nodes[index as usize].node).unwrap_or_default();
            match branch {
                Branch::Fork(values) => match values.get_mut(&value) {
                    Some((_, below)) => branch = below,
                    None => return,
                },
                Branch::Leaf(_) => break,
            }
        }
        if let Branch::Leaf(heap) = branch {
            heap.push(Reverse(score));
        }
    }
}
